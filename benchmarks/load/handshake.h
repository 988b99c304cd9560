/* The upgrade to WebSocket: the server's answer needs SHA-1 and base64, of which this is the least that serves. */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include "wire.h"
#include <strings.h>

static inline uint32_t rotated(uint32_t x, int by) { return x << by | x >> (32 - by); }

/* SHA-1 of a message of at most 119 bytes. */
static inline void sha1(const byte *message, size_t length, byte digest[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    byte padded[128] = {0};
    size_t total = length + 9 <= 64 ? 64 : 128;
    memcpy(padded, message, length);
    padded[length] = 0x80;
    for (int i = 0; i < 8; i++) padded[total - 1 - (size_t)i] = (byte)((uint64_t)length * 8 >> (8 * i));
    for (size_t block = 0; block < total; block += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            const byte *p = padded + block + 4 * i;
            w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) f = (b & c) | (~b & d), k = 0x5a827999;
            else if (i < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
            else if (i < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
            else f = b ^ c ^ d, k = 0xca62c1d6;
            uint32_t next = rotated(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotated(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (byte)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static inline void base64(const byte *data, size_t length, char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        uint32_t three = (uint32_t)data[i] << 16;
        if (i + 1 < length) three |= (uint32_t)data[i + 1] << 8;
        if (i + 2 < length) three |= data[i + 2];
        *text++ = digits[three >> 18];
        *text++ = digits[three >> 12 & 63];
        *text++ = i + 1 < length ? digits[three >> 6 & 63] : '=';
        *text++ = i + 2 < length ? digits[three & 63] : '=';
    }
    *text = 0;
}

/* The answer to an upgrade request; 0 when it holds no key. */
static inline int upgrade_answer(char *answer, size_t space, const char *head, size_t length) {
    for (const char *line = head; line < head + length;) {
        const char *end = memchr(line, '\n', (size_t)(head + length - line));
        if (!end) end = head + length;
        if (end - line >= 19 + 24 && !strncasecmp(line, "sec-websocket-key:", 18)) {
            const char *key = line + 18;
            while (*key == ' ') key++;
            byte joined[60], digest[20];
            char accept[32];
            memcpy(joined, key, 24);
            memcpy(joined + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
            sha1(joined, 60, digest);
            base64(digest, 20, accept);
            return snprintf(answer, space,
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
        }
        line = end + 1;
    }
    return 0;
}

#endif
