/* What a WebSocket and a Yjs update are made of, as far as a load generator must write and read them. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef uint8_t byte;

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void give_up(const char *why) {
    fprintf(stderr, "%s\n", why);
    exit(2);
}

/* --- growing buffers ------------------------------------------------------------------------------------------- */

struct buffer {
    byte *data;
    size_t start, end, room;
};

static inline size_t buffer_held(const struct buffer *b) { return b->end - b->start; }

/* Room for `more` bytes behind the end. */
static inline byte *buffer_reserve(struct buffer *b, size_t more) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->end + more > b->room) {
        if (b->start) {
            memmove(b->data, b->data + b->start, buffer_held(b));
            b->end -= b->start;
            b->start = 0;
        }
        if (b->end + more > b->room) {
            b->room = (b->end + more) * 2;
            b->data = realloc(b->data, b->room);
            if (!b->data) give_up("out of memory");
        }
    }
    return b->data + b->end;
}

static inline void buffer_add(struct buffer *b, const void *data, size_t length) {
    memcpy(buffer_reserve(b, length), data, length);
    b->end += length;
}

static inline void buffer_free(struct buffer *b) {
    free(b->data);
    memset(b, 0, sizeof *b);
}

/* --- lib0's numbers -------------------------------------------------------------------------------------------- */

static inline byte *put_uint(byte *p, uint64_t n) {
    while (n > 127) {
        *p++ = (byte)(n & 127) | 128;
        n >>= 7;
    }
    *p++ = (byte)n;
    return p;
}

static inline byte *put_text(byte *p, const char *text, size_t length) {
    p = put_uint(p, length);
    memcpy(p, text, length);
    return p + length;
}

/* A cursor that never reads past its end: `bad` is set instead. */
struct reader {
    const byte *at, *end;
    int bad;
};

static inline uint64_t get_uint(struct reader *r) {
    uint64_t n = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->at >= r->end) break;
        byte b = *r->at++;
        n |= (uint64_t)(b & 127) << shift;
        if (b < 128) return n;
    }
    r->bad = 1;
    r->at = r->end;
    return 0;
}

static inline void skip(struct reader *r, uint64_t length) {
    if (length > (uint64_t)(r->end - r->at)) {
        r->bad = 1;
        r->at = r->end;
    } else {
        r->at += length;
    }
}

static inline struct reader get_blob(struct reader *r) {
    uint64_t length = get_uint(r);
    struct reader inner = {r->at, r->at, 0};
    skip(r, length);
    inner.end = r->at;
    inner.bad = r->bad;
    return inner;
}

/* --- WebSocket frames ------------------------------------------------------------------------------------------ */

/* The head of a final binary frame of `length` bytes; a client's frames are masked, with a key of zeros, which is a
   mask like any other and costs the generator nothing. */
static inline byte *put_frame_head(byte *p, byte opcode, uint64_t length, int masked) {
    *p++ = 0x80 | opcode;
    if (length < 126) {
        *p++ = (byte)length | (masked ? 128 : 0);
    } else if (length < 65536) {
        *p++ = 126 | (masked ? 128 : 0);
        *p++ = (byte)(length >> 8);
        *p++ = (byte)length;
    } else {
        *p++ = 127 | (masked ? 128 : 0);
        for (int shift = 56; shift >= 0; shift -= 8) *p++ = (byte)(length >> shift);
    }
    if (masked) {
        memset(p, 0, 4);
        p += 4;
    }
    return p;
}

struct frame_head {
    byte opcode;
    int is_final;
    uint64_t head_bytes, length;
    byte mask[4];
    int is_masked;
};

/* 1 when the head is whole, 0 when more bytes are needed. */
static inline int get_frame_head(const byte *p, size_t held, struct frame_head *f) {
    if (held < 2) return 0;
    f->opcode = p[0] & 15;
    f->is_final = p[0] >> 7;
    f->is_masked = p[1] >> 7;
    f->length = p[1] & 127;
    f->head_bytes = 2;
    int wide = f->length == 126 ? 2 : f->length == 127 ? 8 : 0;
    if (held < 2u + (unsigned)wide + (f->is_masked ? 4u : 0u)) return 0;
    if (wide) {
        f->length = 0;
        for (int i = 0; i < wide; i++) f->length = f->length << 8 | p[2 + i];
        f->head_bytes += (unsigned)wide;
    }
    if (f->is_masked) {
        memcpy(f->mask, p + f->head_bytes, 4);
        f->head_bytes += 4;
    }
    return 1;
}

/* --- histograms ------------------------------------------------------------------------------------------------ */

/* Latencies in nanoseconds, 32 steps to each power of two: a percentile is right to 3 %. */
#define HISTOGRAM_STEPS 32
#define HISTOGRAM_CELLS (60 * HISTOGRAM_STEPS)

struct histogram {
    uint64_t cells[HISTOGRAM_CELLS], count, sum, max;
};

static inline void histogram_add(struct histogram *h, uint64_t ns) {
    unsigned cell;
    if (ns < HISTOGRAM_STEPS) {
        cell = (unsigned)ns;
    } else {
        unsigned power = 63 - (unsigned)__builtin_clzll(ns);
        cell = (power - 4) * HISTOGRAM_STEPS + (unsigned)((ns >> (power - 5)) & (HISTOGRAM_STEPS - 1));
    }
    h->cells[cell < HISTOGRAM_CELLS ? cell : HISTOGRAM_CELLS - 1]++;
    h->count++;
    h->sum += ns;
    if (ns > h->max) h->max = ns;
}

static inline double histogram_us(const struct histogram *h, double share) {
    uint64_t wanted = (uint64_t)((double)h->count * share), seen = 0;
    for (unsigned cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        seen += h->cells[cell];
        if (seen > wanted || (h->count && seen == h->count)) {
            if (cell < HISTOGRAM_STEPS) return cell / 1e3;
            unsigned power = cell / HISTOGRAM_STEPS + 4;
            double step = (double)(1ull << (power - 5));
            return ((double)(1ull << power) + (cell % HISTOGRAM_STEPS + 0.5) * step) / 1e3;
        }
    }
    return 0;
}

static inline void histogram_print(const char *name, const struct histogram *h) {
    printf(", \"%s\": {\"count\": %llu, \"mean_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, \"max_us\": %.1f}",
           name, (unsigned long long)h->count, h->count ? (double)h->sum / (double)h->count / 1e3 : 0,
           histogram_us(h, .5), histogram_us(h, .9), histogram_us(h, .99), histogram_us(h, .999), (double)h->max / 1e3);
}

#endif
