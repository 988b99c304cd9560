/* One client: its socket, its upgrade, and the words of its dialect. What the words mean to a workload is in
   generator.c, which defines the functions named heard_*. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "sockets.h"
#include "updates.h"

enum dialect { PLAIN, Y_WEBSOCKET, HOCUSPOCUS };
enum state { ABSENT, CONNECTING, UPGRADING, OPEN, LEAVING };

struct connection {
    int fd, room, slot;
    enum state state;
    int is_synced, is_blocked;
    unsigned opened;       /* how often: each time from another address */
    uint64_t began_ns;     /* when the connect began */
    uint64_t content;      /* bytes of document that came */
    uint64_t skimmed;      /* bytes of a large frame that are still to be passed over */
    uint32_t *known;       /* the next clock expected of each writer of the room */
    struct buffer in, out;
};

static struct {
    enum dialect dialect;
    int port, epoll;
    const char *path, *document, *token; /* each {} in path and document stands for the room's number */
    byte state_vector[32];
    size_t state_vector_bytes;
    int skims; /* of a large frame only the length counts: nothing of it is kept */
    unsigned first_room;
} link_to;

static unsigned long long lost, fragments, nonsense;

static void heard_open(struct connection *c);
static void heard_update(struct connection *c, struct reader update, int is_answer);
static void heard_content(struct connection *c, uint64_t length);
static void heard_presence(struct connection *c, struct reader states);
static void heard_ack(struct connection *c);
static void heard_end(struct connection *c);

static size_t expand(char *text, size_t space, const char *pattern, unsigned room) {
    const char *hole = strstr(pattern, "{}");
    if (!hole) return (size_t)snprintf(text, space, "%s", pattern);
    return (size_t)snprintf(text, space, "%.*s%u%s", (int)(hole - pattern), pattern, room, hole + 2);
}

static void connection_flush(struct connection *c) {
    if (c->fd < 0 || c->state == CONNECTING) return;
    int done = send_waiting(c->fd, &c->out);
    if (done == 0 && !c->is_blocked) {
        c->is_blocked = 1;
        watch(link_to.epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, c);
    } else if (done == 1 && c->is_blocked) {
        c->is_blocked = 0;
        watch(link_to.epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    }
}

/* Queue a message: the dialect's address if it has one, then `body`. */
static void say(struct connection *c, const byte *body, size_t length) {
    byte address[300], *end = address;
    if (link_to.dialect == HOCUSPOCUS) {
        char name[256];
        size_t bytes = expand(name, sizeof name, link_to.document, (unsigned)c->room + link_to.first_room);
        end = put_text(address, name, bytes);
    }
    size_t before = (size_t)(end - address);
    byte *at = buffer_reserve(&c->out, before + length + 16), *p = put_frame_head(at, 2, before + length, 1);
    memcpy(p, address, before);
    memcpy(p + before, body, length);
    c->out.end += (size_t)(p - at) + before + length;
}

static void say_sync(struct connection *c, byte step, const byte *blob, size_t length) {
    byte body[512], *p = body;
    *p++ = 0;
    *p++ = step;
    p = put_text(p, (const char *)blob, length);
    say(c, body, (size_t)(p - body));
}

static void greet(struct connection *c) {
    if (link_to.dialect == HOCUSPOCUS) {
        byte body[4096], *p = body;
        *p++ = 2;
        *p++ = 0;
        p = put_text(p, link_to.token, strlen(link_to.token));
        p = put_text(p, "4.7.0", 5);
        say(c, body, (size_t)(p - body));
    }
    if (link_to.dialect != PLAIN) say_sync(c, 0, link_to.state_vector, link_to.state_vector_bytes);
}

static void connection_begin(struct connection *c) {
    c->fd = socket_connect(link_to.port, (unsigned)c->slot + 7u * (unsigned)c->room + c->opened++);
    if (c->fd < 0) give_up("cannot connect");
    c->state = CONNECTING;
    c->is_synced = c->is_blocked = 0;
    c->content = c->skimmed = 0;
    c->in.start = c->in.end = c->out.start = c->out.end = 0;
    c->began_ns = now_ns();
    watch(link_to.epoll, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLOUT, c);
}

static void connection_end(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->in.start = c->in.end = c->out.start = c->out.end = 0;
    heard_end(c);
}

static void connection_leave(struct connection *c) {
    byte farewell[8] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    c->state = LEAVING;
    buffer_add(&c->out, farewell, 8);
    connection_flush(c);
}

static void upgrade(struct connection *c) {
    char path[4096], request[8192];
    expand(path, sizeof path, link_to.path, (unsigned)c->room + link_to.first_room);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: bG9hZCBnZW5lcmF0b3IgMQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                          path, link_to.port);
    c->state = UPGRADING;
    c->is_blocked = 1;
    buffer_add(&c->out, request, (size_t)length);
    connection_flush(c);
}

/* What follows the address, if there is one. */
static void hear_message(struct connection *c, struct reader r) {
    if (link_to.dialect == HOCUSPOCUS) {
        if (r.end - r.at == 1) return;
        get_blob(&r);
    }
    uint64_t kind = get_uint(&r);
    if (kind == 0 || (kind == 4 && link_to.dialect == HOCUSPOCUS)) {
        uint64_t step = get_uint(&r);
        struct reader blob = get_blob(&r);
        if (r.bad) nonsense++;
        else if (step != 0) heard_update(c, blob, step == 1);
        else if (link_to.dialect != PLAIN) say_sync(c, 1, (const byte *)"\0", 2);
    } else if (kind == 1) {
        heard_presence(c, get_blob(&r));
    } else if (kind == 8 && link_to.dialect == HOCUSPOCUS) {
        heard_ack(c);
    } else if (kind == 2 && link_to.dialect == HOCUSPOCUS && r.at < r.end && *r.at == 1) {
        lost++;
    }
}

static void hear_frame(struct connection *c, byte opcode, byte *payload, uint64_t length) {
    if (opcode == 2) {
        hear_message(c, (struct reader){payload, payload + length, 0});
    } else if (opcode == 9) {
        byte *at = buffer_reserve(&c->out, length + 16), *p = put_frame_head(at, 10, length, 1);
        memcpy(p, payload, length);
        c->out.end += (size_t)(p - at) + length;
    } else if (opcode == 8 && c->state != LEAVING) {
        connection_leave(c);
        lost++;
    }
}

static void hear_frames(struct connection *c) {
    struct frame_head f;
    for (;;) {
        if (c->skimmed) {
            uint64_t held = buffer_held(&c->in), passed = held < c->skimmed ? held : c->skimmed;
            c->in.start += passed;
            c->skimmed -= passed;
            heard_content(c, passed);
            if (c->skimmed) return;
        }
        size_t held = buffer_held(&c->in);
        if (!get_frame_head(c->in.data + c->in.start, held, &f)) return;
        if (!f.is_final || f.opcode == 0) fragments++;
        if (link_to.skims && f.length > 32768 && f.opcode == 2) {
            c->in.start += f.head_bytes;
            c->skimmed = f.length;
            continue;
        }
        if (held < f.head_bytes + f.length) {
            buffer_reserve(&c->in, f.head_bytes + f.length - held);
            return;
        }
        byte *payload = c->in.data + c->in.start + f.head_bytes;
        c->in.start += f.head_bytes + f.length;
        hear_frame(c, f.opcode, payload, f.length);
    }
}

/* 0 when the server refused. */
static int hear_upgrade(struct connection *c) {
    const char *head = (const char *)c->in.data + c->in.start;
    const char *end = memmem(head, buffer_held(&c->in), "\r\n\r\n", 4);
    if (!end) return 1;
    if (strncmp(head, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "refused: %.*s\n", (int)(strcspn(head, "\r")), head);
        return 0;
    }
    c->in.start += (size_t)(end + 4 - head);
    c->state = OPEN;
    greet(c);
    heard_open(c);
    return 1;
}

static void connection_read(struct connection *c) {
    for (int reads = 0; c->fd >= 0 && reads < 16; reads++) {
        size_t space = c->skimmed ? 1 << 18 : 1 << 16;
        byte *at = buffer_reserve(&c->in, space);
        ssize_t got = recv(c->fd, at, space, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) break;
        if (got <= 0) {
            if (c->state != LEAVING) lost++;
            connection_end(c);
            return;
        }
        c->in.end += (size_t)got;
        if (c->state == UPGRADING && !hear_upgrade(c)) {
            lost++;
            connection_end(c);
            return;
        }
        if (c->state == OPEN || c->state == LEAVING) hear_frames(c);
        if ((size_t)got < space) break;
    }
    if (c->fd >= 0 && buffer_held(&c->out)) connection_flush(c);
}

static void connection_event(struct connection *c, uint32_t events) {
    if (c->fd < 0) return;
    if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
        if (events & EPOLLERR) {
            lost++;
            connection_end(c);
            return;
        }
        upgrade(c);
    } else if (events & EPOLLOUT) {
        connection_flush(c);
    }
    if (c->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) connection_read(c);
}

#endif
