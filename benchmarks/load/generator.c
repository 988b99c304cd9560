/* Load for servers that speak y-websocket, Hocuspocus or nothing at all. See README.md in the folder above.

   generator SCENARIO name=value ...
     fan      writers in rooms, each with so many updates under way; counts what reaches the others
     paced    rooms in which somebody writes at a fixed rate, whatever the server does
     storm    clients that all come at once, and when each has the document
     connect  clients that come, are served, and go, over and over
   Events and the result are lines of JSON on standard output. */
#include "connection.h"
#include "plan.h"

struct writer {
    struct connection *connection;
    struct author author;
    uint32_t done;              /* updates that are complete; clocks below it */
    uint64_t *sent_ns;          /* rings by clock */
    uint16_t *told;
    int is_waiting;
    struct writer *next_waiting;
};

enum { RING = 2048 };

static enum { FAN, PACED, STORM, CONNECT } scenario;
static struct connection *connections;
static struct writer *writers, *waiting;
static int connection_count, begun, under_way, ended, synced_count, is_writing, is_over;
static unsigned complete_writers;
static uint64_t now, started_ns, delivered, sent, completed, gaps, acked, served;
static struct histogram delivery, ack, sync_since_start, sync_since_connect;

static struct writer *writer_of(const struct connection *c, unsigned slot) {
    return &writers[(unsigned)c->room * (unsigned)plan.writers + slot];
}

static void want_more(struct writer *w) {
    if (w->is_waiting || scenario != FAN) return;
    w->is_waiting = 1;
    w->next_waiting = waiting;
    waiting = w;
}

static void complete(struct writer *w) {
    w->done++;
    completed++;
    if (plan.count && w->done == plan.count) complete_writers++;
    want_more(w);
}

/* A section of an update, or a client's presence: writer and clocks. */
static void note_told(void *context, uint64_t client, uint32_t clock, uint32_t clocks) {
    struct connection *c = context;
    uint64_t number = client - plan.base - (uint64_t)c->room * (unsigned)plan.writers;
    if (number >= (unsigned)plan.writers || !c->known) return;
    struct writer *w = writer_of(c, (unsigned)number);
    uint32_t known = c->known[number], end = clock + clocks;
    if (end <= known || end > w->author.clock) return;
    if (clock > known && !plan.is_presence) gaps++;
    c->known[number] = end;
    int is_own = w->connection == c, needed = plan.writers + plan.readers - 1;
    for (uint32_t at = known; at < end; at++) {
        uint64_t waited_ns = now - w->sent_ns[at % RING];
        if (is_own) {
            acked++;
            histogram_add(&ack, waited_ns);
            if (plan.until_ack) complete(w);
            continue;
        }
        delivered++;
        histogram_add(&delivery, waited_ns);
        if (++w->told[at % RING] == needed && !plan.until_ack) complete(w);
    }
}

static void be_synced(struct connection *c) {
    if (c->is_synced) return;
    c->is_synced = 1;
    synced_count++;
    if (scenario == STORM || scenario == CONNECT) {
        uint64_t at = now_ns();
        histogram_add(&sync_since_start, scenario == STORM ? at - started_ns : at - c->began_ns);
        histogram_add(&sync_since_connect, at - c->began_ns);
    }
    if (scenario == CONNECT) {
        served++;
        connection_leave(c);
    }
}

static void heard_open(struct connection *c) {
    under_way--;
    if (link_to.dialect == PLAIN) be_synced(c);
}

static void heard_content(struct connection *c, uint64_t length) {
    c->content += length;
    if (!c->skimmed && c->content >= plan.expected_bytes) be_synced(c);
}

static void heard_update(struct connection *c, struct reader update, int is_answer) {
    if (is_writing && !plan.is_presence && !read_update(update, note_told, c)) nonsense++;
    if (c->is_synced) return;
    c->content += (uint64_t)(update.end - update.at);
    if ((is_answer || plan.expected_bytes) && c->content >= plan.expected_bytes) be_synced(c);
}

static void heard_presence(struct connection *c, struct reader r) {
    if (!plan.is_presence || !is_writing) return;
    for (uint64_t entries = get_uint(&r); entries && !r.bad; entries--) {
        uint64_t client = get_uint(&r), clock = get_uint(&r);
        struct reader text = get_blob(&r);
        if (!r.bad && text.end - text.at > 4 && clock) note_told(c, client, (uint32_t)clock - 1, 1);
    }
}

/* A Hocuspocus server says only "one more of yours": the oldest that was not acked. */
static void heard_ack(struct connection *c) {
    if (!is_writing || c->slot >= plan.writers || plan.is_presence) return;
    struct writer *w = writer_of(c, (unsigned)c->slot);
    uint32_t at = c->known[c->slot];
    if (at >= w->author.clock) return;
    c->known[c->slot]++;
    acked++;
    histogram_add(&ack, now - w->sent_ns[at % RING]);
    if (plan.until_ack) complete(w);
}

static void heard_end(struct connection *c) {
    if (c->state == CONNECTING || c->state == UPGRADING) under_way--;
    c->state = ABSENT;
    ended++;
}

static size_t put_presence(byte *p, struct author *a) {
    byte entry[256], *q = entry;
    char text[160];
    uint32_t clock = ++a->clock;
    int length = snprintf(text, sizeof text, "{\"user\":{\"name\":\"till %u\"},\"cursor\":{\"x\":%u,\"y\":%u}}",
                          (unsigned)(a->client % 1000), clock % 1920, clock * 7 % 1080);
    *q++ = 1;
    q = put_uint(q, a->client);
    q = put_uint(q, clock);
    q = put_text(q, text, (size_t)length);
    *p = 1;
    return (size_t)(put_text(p + 1, (char *)entry, (size_t)(q - entry)) - p);
}

static void write_one(struct writer *w, uint64_t at_ns) {
    static byte body[1 << 17], update[1 << 17];
    uint32_t clock = w->author.clock;
    size_t length;
    w->sent_ns[clock % RING] = at_ns;
    w->told[clock % RING] = 0;
    if (plan.is_presence) {
        length = put_presence(body, &w->author);
    } else {
        size_t bytes = (size_t)(put_update(update, &w->author, plan.text_bytes) - update);
        body[0] = 0;
        body[1] = 2;
        length = (size_t)(put_text(body + 2, (char *)update, bytes) - body);
    }
    say(w->connection, body, length);
    sent++;
}

static void write_all(void) {
    struct writer *w = waiting;
    waiting = NULL;
    while (w) {
        struct writer *next = w->next_waiting;
        w->is_waiting = 0;
        while (w->connection->state == OPEN && w->author.clock - w->done < (unsigned)plan.in_flight &&
               (!plan.count || w->author.clock < plan.count))
            write_one(w, now_ns());
        connection_flush(w->connection);
        w = next;
    }
}

/* One member of each room comes first: a server that opens a room for the first must not have to do so for all. */
static struct connection *next_to_begin(void) {
    int number = begun++, firsts = plan.rooms, others = plan.writers + plan.readers - 1;
    if (scenario == STORM || scenario == CONNECT) return &connections[number];
    if (number < firsts) return &connections[number * (others + 1)];
    return &connections[(number - firsts) / others * (others + 1) + 1 + (number - firsts) % others];
}

static void begin_some(void) {
    int is_crowd = scenario == STORM || scenario == CONNECT;
    while (begun < connection_count && under_way < plan.concurrent) {
        if (!is_crowd && begun == plan.rooms && synced_count < plan.rooms) return;
        under_way++;
        connection_begin(next_to_begin());
    }
}

/* One round: what has come, then what that asks for. */
static void turn(int wait_ms) {
    struct epoll_event events[1024];
    int ready = epoll_wait(link_to.epoll, events, 1024, wait_ms);
    for (int i = 0; i < ready; i++) {
        now = now_ns();
        struct connection *c = events[i].data.ptr;
        connection_event(c, events[i].events);
        if (scenario == CONNECT && c->state == ABSENT && !is_over) {
            under_way++;
            connection_begin(c);
        }
    }
    write_all();
}

static void turn_until(uint64_t end_ns) {
    while (now_ns() < end_ns) turn(1);
}

static void say_event(const char *event) {
    printf("{\"event\": \"%s\"}\n", event);
    fflush(stdout);
}

static void be_counted_anew(void) {
    delivered = sent = completed = acked = served = 0;
    memset(&delivery, 0, sizeof delivery);
    memset(&ack, 0, sizeof ack);
}

static int connect_all(void) {
    started_ns = now_ns();
    while (synced_count < connection_count && ended == 0 && now_ns() - started_ns < (uint64_t)(plan.timeout_s * 1e9)) {
        begin_some();
        turn(1);
    }
    return synced_count == connection_count;
}

static void report(double seconds) {
    printf("{\"seconds\": %.4f, \"sent\": %llu, \"delivered\": %llu, \"completed\": %llu, \"acked\": %llu, "
           "\"served\": %llu, \"synced\": %d, \"clients\": %d, \"gaps\": %llu, \"lost\": %llu, \"fragments\": %llu, "
           "\"nonsense\": %llu",
           seconds, (unsigned long long)sent, (unsigned long long)delivered, (unsigned long long)completed,
           (unsigned long long)acked, (unsigned long long)served, synced_count, connection_count,
           (unsigned long long)gaps, lost, fragments, nonsense);
    histogram_print("delivery", &delivery);
    histogram_print("ack", &ack);
    histogram_print("sync", &sync_since_start);
    histogram_print("sync_alone", &sync_since_connect);
    printf("}\n");
    fflush(stdout);
}

static void run_fan(void) {
    uint64_t from_ns;
    is_writing = 1;
    for (int i = 0; i < plan.rooms * plan.writers; i++) want_more(&writers[i]);
    if (!plan.count) {
        turn_until(now_ns() + (uint64_t)(plan.warm_s * 1e9));
        be_counted_anew();
    }
    say_event("measuring");
    from_ns = now_ns();
    uint64_t end_ns = from_ns + (uint64_t)((plan.count ? plan.timeout_s : plan.seconds) * 1e9);
    while (now_ns() < end_ns && !(plan.count && complete_writers == (unsigned)(plan.rooms * plan.writers))) turn(1);
    double seconds = (double)(now_ns() - from_ns) / 1e9;
    say_event("measured");
    report(seconds);
}

static void run_paced(void) {
    double step_ns = 1e9 / (plan.rate * plan.rooms);
    uint64_t begin_ns = now_ns() + 1000000, warm_ns = begin_ns + (uint64_t)(plan.warm_s * 1e9), from_ns = 0;
    uint64_t end_ns = warm_ns + (uint64_t)(plan.seconds * 1e9);
    is_writing = 1;
    for (uint64_t number = 0;; number++) {
        uint64_t due_ns = begin_ns + (uint64_t)(step_ns * (double)number);
        /* To the nearest millisecond asleep, the rest awake: a late generator would be a late server. */
        for (uint64_t at; (at = now_ns()) < due_ns;) turn(due_ns - at > 2000000 ? 1 : 0);
        if (!from_ns && due_ns >= warm_ns) {
            be_counted_anew();
            say_event("measuring");
            from_ns = now_ns();
        }
        if (due_ns >= end_ns) break;
        struct connection first = {.room = (int)(number % (unsigned)plan.rooms)};
        struct writer *w = writer_of(&first, (unsigned)(number / (unsigned)plan.rooms % (unsigned)plan.writers));
        if (w->connection->state != OPEN || w->author.clock - w->done >= RING) continue;
        write_one(w, due_ns);
        connection_flush(w->connection);
    }
    double seconds = (double)(now_ns() - from_ns) / 1e9;
    say_event("measured");
    turn_until(now_ns() + 200000000);
    report(seconds);
}

static void prepare(void) {
    int members = plan.writers + plan.readers, crowd = scenario == STORM || scenario == CONNECT;
    connection_count = crowd ? plan.clients : plan.rooms * members;
    connections = calloc((size_t)connection_count, sizeof *connections);
    writers = calloc((size_t)(plan.rooms * plan.writers), sizeof *writers);
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        c->fd = -1;
        c->room = crowd ? i % plan.rooms : i / members;
        c->slot = crowd ? i : i % members;
        if (crowd) continue;
        c->known = calloc((size_t)plan.writers, sizeof *c->known);
        if (c->slot >= plan.writers) continue;
        struct writer *w = writer_of(c, (unsigned)c->slot);
        w->connection = c;
        w->sent_ns = calloc(RING, sizeof *w->sent_ns);
        w->told = calloc(RING, sizeof *w->told);
        author_begin(&w->author, plan.base + (unsigned)c->room * (unsigned)plan.writers + (unsigned)c->slot);
    }
}

int main(int count, char **arguments) {
    if (count < 2) give_up("generator fan|paced|storm|connect name=value ...");
    const char *name = arguments[1];
    scenario = !strcmp(name, "paced") ? PACED : !strcmp(name, "storm") ? STORM : !strcmp(name, "connect") ? CONNECT : FAN;
    link_to.path = "/";
    link_to.document = link_to.token = "";
    link_to.dialect = Y_WEBSOCKET;
    link_to.state_vector_bytes = 1;
    read_plan(count, arguments);
    raise_file_limit();
    link_to.epoll = epoll_create1(0);
    link_to.skims = scenario == STORM;
    prepare();
    if (scenario == STORM || scenario == CONNECT) {
        if (scenario == CONNECT) {
            begin_some();
            turn_until(now_ns() + (uint64_t)(plan.warm_s * 1e9));
            be_counted_anew();
        }
        say_event("measuring");
        if (scenario == STORM) {
            connect_all();
        } else {
            started_ns = now_ns();
            turn_until(started_ns + (uint64_t)(plan.seconds * 1e9));
        }
        say_event("measured");
        report((double)(now_ns() - started_ns) / 1e9);
    } else {
        if (!connect_all()) {
            fprintf(stderr, "only %d of %d clients were synced, %llu lost\n", synced_count, connection_count, lost);
            return 3;
        }
        turn_until(now_ns() + 200000000);
        if (scenario == PACED) run_paced();
        else run_fan();
    }
    if (plan.hold) {
        say_event("holding");
        watch(link_to.epoll, EPOLL_CTL_DEL, 0, 0, NULL);
        fcntl(0, F_SETFL, O_NONBLOCK);
        for (char byte_read; read(0, &byte_read, 1) != 0;) turn(20);
    }
    /* Politely: a server may take an abrupt end for an error, and the next case would meet what comes of it. */
    is_over = 1;
    for (int i = 0; i < connection_count; i++)
        if (connections[i].state == OPEN) connection_leave(&connections[i]);
    turn_until(now_ns() + 100000000);
    return 0;
}
