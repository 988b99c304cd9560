/* Yjs updates (version 1): written as a stock client writes them, read as far as it takes to count them. */
#ifndef UPDATES_H
#define UPDATES_H

#include "wire.h"

#define KEYS 16
#define NEVER UINT32_MAX

/* A writing session: a client id of its own, clocks without holes, and its last write of each of its keys. */
struct author {
    uint64_t client;
    uint32_t clock;
    uint32_t last_write[KEYS];
};

static inline void author_begin(struct author *a, uint64_t client) {
    a->client = client;
    a->clock = 0;
    for (int key = 0; key < KEYS; key++) a->last_write[key] = NEVER;
}

enum { CONTENT_ANY = 8, HAS_ORIGIN = 0x80, HAS_KEY = 0x20 };
enum { ANY_TEXT = 119, ANY_ARRAY = 117, ANY_INTEGER = 125, ANY_DOUBLE = 123 };

static inline byte *put_any_text(byte *p, const char *text) {
    *p++ = ANY_TEXT;
    return put_text(p, text, strlen(text));
}

/* ["sale", sku, place, quantity, when]: what a shop's movement looks like. */
static inline byte *put_movement(byte *p, uint32_t number) {
    static const char *const places[] = {"France", "United Kingdom", "Channel Islands", "EIRE",
                                         "warehouse-berlin-2", "United Arab Emirates, Dubai", "Spain", "Norway"};
    char sku[16];
    snprintf(sku, sizeof sku, "%05u%c", 20000 + number % 65536, 'A' + (char)(number % 26));
    *p++ = ANY_ARRAY;
    *p++ = 5;
    p = put_any_text(p, "sale");
    p = put_any_text(p, sku);
    p = put_any_text(p, places[number % 8]);
    *p++ = ANY_INTEGER;
    *p++ = (byte)(1 + number % 40);
    double when = 1790000000000.0 + number;
    uint64_t bits;
    memcpy(&bits, &when, 8);
    *p++ = ANY_DOUBLE;
    for (int shift = 56; shift >= 0; shift -= 8) *p++ = (byte)(bits >> shift);
    return p;
}

/* The author's next update: a write of one key. It overwrites, as Yjs does, by naming the write before as its origin
   and deleting it. With `text_bytes` each write has a key of its own instead, and a text of that length. */
static inline byte *put_update(byte *p, struct author *a, size_t text_bytes) {
    uint32_t clock = a->clock++, key = clock % KEYS;
    uint32_t before = text_bytes ? NEVER : a->last_write[key];
    *p++ = 1;
    *p++ = 1;
    p = put_uint(p, a->client);
    p = put_uint(p, clock);
    if (before == NEVER) {
        char name[40];
        int length = text_bytes ? snprintf(name, sizeof name, "%llx.%x", (unsigned long long)a->client, clock)
                                : snprintf(name, sizeof name, "%llx/%x", (unsigned long long)a->client, key);
        *p++ = CONTENT_ANY | HAS_KEY;
        *p++ = 1;
        p = put_text(p, "mv", 2);
        p = put_text(p, name, (size_t)length);
    } else {
        *p++ = CONTENT_ANY | HAS_KEY | HAS_ORIGIN;
        p = put_uint(p, a->client);
        p = put_uint(p, before);
    }
    *p++ = 1;
    if (text_bytes) {
        *p++ = ANY_TEXT;
        p = put_uint(p, text_bytes);
        memset(p, 'a' + (int)(clock % 26), text_bytes);
        p += text_bytes;
    } else {
        p = put_movement(p, clock);
    }
    a->last_write[key] = clock;
    if (before == NEVER) {
        *p++ = 0;
        return p;
    }
    *p++ = 1;
    p = put_uint(p, a->client);
    *p++ = 1;
    p = put_uint(p, before);
    *p++ = 1;
    return p;
}

static inline void skip_any(struct reader *r) {
    if (r->at >= r->end) {
        r->bad = 1;
        return;
    }
    byte tag = *r->at++;
    switch (tag) {
    case ANY_TEXT:
    case 116: get_blob(r); break;
    case ANY_INTEGER: get_uint(r); break;
    case 124: skip(r, 4); break;
    case ANY_DOUBLE:
    case 122: skip(r, 8); break;
    case ANY_ARRAY:
        for (uint64_t n = get_uint(r); n && !r->bad; n--) skip_any(r);
        break;
    case 118:
        for (uint64_t n = get_uint(r); n && !r->bad; n--) {
            get_blob(r);
            skip_any(r);
        }
        break;
    default: break;
    }
}

/* Pass one struct; gives how many clocks it spans. Knows what put_update writes, and what servers make of it. */
static inline uint64_t skip_struct(struct reader *r) {
    if (r->at >= r->end) {
        r->bad = 1;
        return 0;
    }
    byte info = *r->at++, kind = info & 31;
    if (kind == 0 || kind == 10) return get_uint(r);
    if (info & 0x80) {
        get_uint(r);
        get_uint(r);
    }
    if (info & 0x40) {
        get_uint(r);
        get_uint(r);
    }
    if (!(info & 0xc0)) {
        if (get_uint(r) == 1) {
            get_blob(r);
        } else {
            get_uint(r);
            get_uint(r);
        }
        if (info & HAS_KEY) get_blob(r);
    }
    uint64_t count = get_uint(r);
    if (kind == 1) return count;
    if (kind != CONTENT_ANY) r->bad = 1;
    for (uint64_t n = count; n && !r->bad; n--) skip_any(r);
    return count;
}

/* Calls `told(context, client, first clock, clocks)` for each client's section. 0 when the bytes make no sense. */
static inline int read_update(struct reader r, void (*told)(void *, uint64_t, uint32_t, uint32_t), void *context) {
    for (uint64_t sections = get_uint(&r); sections && !r.bad; sections--) {
        uint64_t structs = get_uint(&r), client = get_uint(&r), clock = get_uint(&r), spanned = 0;
        if (sections == 1 && structs == 1 && r.at < r.end && (*r.at & 31) == CONTENT_ANY) {
            /* By far the most: one write. Writes in turn to different keys never merge into one struct. */
            spanned = 1;
        } else {
            for (; structs && !r.bad; structs--) spanned += skip_struct(&r);
        }
        if (!r.bad) told(context, client, (uint32_t)clock, (uint32_t)spanned);
    }
    return !r.bad;
}

#endif
