/* A relay that does nothing but relay: what a server could reach at the most on this machine, in the least of C.

   Every binary frame goes to all connections of its path, its sender too. Plain: each frame is written by itself.
   With `coalesce` the frames of one round of epoll are gathered for each path and written together.

   relay PORT [coalesce]; port 0 takes a free one; says on standard output where it listens. */
#include "sockets.h"

#include "handshake.h"

struct room;

struct member {
    int fd, is_open, is_blocked;
    struct buffer in, out;
    struct room *room;
    size_t place;
};

struct room {
    char *path;
    struct member **members;
    size_t count, space;
    struct buffer gathered;
    int is_dirty;
    struct room *next, *next_dirty;
};

static struct room *rooms[1024];
static struct room *dirty;
static int epoll, coalesces;

static struct room *room_at(const char *path, size_t length) {
    unsigned hash = 5381;
    for (size_t i = 0; i < length; i++) hash = hash * 33 + (byte)path[i];
    struct room **slot = &rooms[hash % 1024];
    for (; *slot; slot = &(*slot)->next)
        if (strlen((*slot)->path) == length && !memcmp((*slot)->path, path, length)) return *slot;
    *slot = calloc(1, sizeof **slot);
    (*slot)->path = strndup(path, length);
    return *slot;
}

static void enter(struct member *m, struct room *room) {
    if (room->count == room->space) {
        room->space = room->space ? room->space * 2 : 8;
        room->members = realloc(room->members, room->space * sizeof *room->members);
    }
    m->room = room;
    m->place = room->count;
    room->members[room->count++] = m;
}

static void leave(struct member *m) {
    if (m->room) {
        struct member *last = m->room->members[--m->room->count];
        m->room->members[m->place] = last;
        last->place = m->place;
        m->room = NULL;
    }
    if (m->fd >= 0) close(m->fd);
    m->fd = -1;
}

static void tell(struct member *m, const byte *data, size_t length) {
    if (m->fd < 0) return;
    if (!buffer_held(&m->out)) {
        ssize_t sent = send(m->fd, data, length, MSG_NOSIGNAL);
        if (sent == (ssize_t)length) return;
        if (sent > 0) {
            data += sent;
            length -= (size_t)sent;
        }
    }
    buffer_add(&m->out, data, length);
    if (!m->is_blocked) {
        m->is_blocked = 1;
        watch(epoll, EPOLL_CTL_MOD, m->fd, EPOLLIN | EPOLLOUT, m);
    }
}

static void relay_frame(struct member *m, const byte *payload, uint64_t length) {
    struct room *room = m->room;
    byte head[16];
    size_t head_bytes = (size_t)(put_frame_head(head, 2, length, 0) - head);
    buffer_add(&room->gathered, head, head_bytes);
    buffer_add(&room->gathered, payload, length);
    if (coalesces) {
        if (!room->is_dirty) {
            room->is_dirty = 1;
            room->next_dirty = dirty;
            dirty = room;
        }
        return;
    }
    for (size_t i = 0; i < room->count; i++)
        tell(room->members[i], room->gathered.data + room->gathered.start, buffer_held(&room->gathered));
    room->gathered.start = room->gathered.end = 0;
}

static void flush_rooms(void) {
    while (dirty) {
        struct room *room = dirty;
        dirty = room->next_dirty;
        room->is_dirty = 0;
        for (size_t i = 0; i < room->count; i++)
            tell(room->members[i], room->gathered.data + room->gathered.start, buffer_held(&room->gathered));
        room->gathered.start = room->gathered.end = 0;
    }
}

/* 0 when the connection is over. */
static int take_frames(struct member *m) {
    struct frame_head f;
    while (get_frame_head(m->in.data + m->in.start, buffer_held(&m->in), &f)) {
        if (buffer_held(&m->in) < f.head_bytes + f.length) return 1;
        byte *payload = m->in.data + m->in.start + f.head_bytes;
        for (uint64_t i = 0; i < f.length; i++) payload[i] ^= f.mask[i & 3];
        if (f.opcode == 8) {
            byte farewell[4] = {0x88, 2, 0x03, 0xe8};
            tell(m, farewell, 4);
            return 0;
        }
        if (f.opcode == 2) relay_frame(m, payload, f.length);
        m->in.start += f.head_bytes + f.length;
    }
    return 1;
}

static int take_request(struct member *m) {
    const char *head = (const char *)m->in.data + m->in.start;
    const char *end = memmem(head, buffer_held(&m->in), "\r\n\r\n", 4);
    if (!end) return 1;
    const char *path = memchr(head, ' ', (size_t)(end - head)), *after = path ? memchr(path + 1, ' ', (size_t)(end - path - 1)) : NULL;
    char answer[256];
    int length = upgrade_answer(answer, sizeof answer, head, (size_t)(end - head));
    if (!after || !length) return 0;
    enter(m, room_at(path, (size_t)(after - path)));
    m->is_open = 1;
    m->in.start += (size_t)(end + 4 - head);
    tell(m, (byte *)answer, (size_t)length);
    return take_frames(m);
}

static void read_member(struct member *m) {
    for (;;) {
        byte *space = buffer_reserve(&m->in, 65536);
        ssize_t got = recv(m->fd, space, 65536, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got > 0) m->in.end += (size_t)got;
        if (got <= 0 || !(m->is_open ? take_frames(m) : take_request(m))) {
            leave(m);
            return;
        }
        if (got < 65536) return;
    }
}

int main(int count, char **arguments) {
    int listener = socket_listen(count > 1 ? atoi(arguments[1]) : 0);
    coalesces = count > 2 && !strcmp(arguments[2], "coalesce");
    raise_file_limit();
    epoll = epoll_create1(0);
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    printf("relay on 127.0.0.1:%d\n", port_of(listener));
    fflush(stdout);
    struct epoll_event events[512];
    for (;;) {
        int ready = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < ready; i++) {
            struct member *m = events[i].data.ptr;
            if (!m) {
                for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                    m = calloc(1, sizeof *m);
                    m->fd = fd;
                    prefer_speed(fd);
                    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, m);
                }
                continue;
            }
            if (m->fd >= 0 && events[i].events & EPOLLOUT && send_waiting(m->fd, &m->out) == 1) {
                m->is_blocked = 0;
                watch(epoll, EPOLL_CTL_MOD, m->fd, EPOLLIN, m);
            }
            if (m->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_member(m);
            /* Who left in this round may still be named by a later event of it: its record is freed by nobody. */
            if (m->fd < 0) {
                buffer_free(&m->in);
                buffer_free(&m->out);
            }
        }
        flush_rooms();
    }
}
