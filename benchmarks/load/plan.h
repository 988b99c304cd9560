/* What to do, read from name=value on the command line. */
#ifndef PLAN_H
#define PLAN_H

#include "connection.h"

static struct {
    int rooms, writers, readers, in_flight, until_ack, is_presence, hold, clients, concurrent;
    uint32_t count;
    uint64_t base, expected_bytes, text_bytes;
    double seconds, warm_s, rate, timeout_s;
} plan = {.rooms = 1, .writers = 1, .in_flight = 1, .clients = 1, .concurrent = 256, .seconds = 2, .warm_s = .5,
          .rate = 20, .timeout_s = 60, .base = 1000000};

static void read_plan(int count, char **arguments) {
    for (int i = 2; i < count; i++) {
        char *value = strchr(arguments[i], '=');
        if (!value) give_up("arguments are name=value");
        *value++ = 0;
        const char *name = arguments[i];
        struct { const char *name; int *into; } whole[] = {
            {"port", &link_to.port}, {"rooms", &plan.rooms}, {"writers", &plan.writers}, {"readers", &plan.readers},
            {"in_flight", &plan.in_flight}, {"until_ack", &plan.until_ack}, {"presence", &plan.is_presence},
            {"hold", &plan.hold}, {"clients", &plan.clients}, {"concurrent", &plan.concurrent}};
        struct { const char *name; double *into; } real[] = {
            {"seconds", &plan.seconds}, {"warm_s", &plan.warm_s}, {"rate", &plan.rate}, {"timeout_s", &plan.timeout_s}};
        for (size_t n = 0; n < sizeof whole / sizeof *whole; n++)
            if (!strcmp(name, whole[n].name)) *whole[n].into = atoi(value);
        for (size_t n = 0; n < sizeof real / sizeof *real; n++)
            if (!strcmp(name, real[n].name)) *real[n].into = atof(value);
        if (!strcmp(name, "path")) link_to.path = value;
        else if (!strcmp(name, "document")) link_to.document = value;
        else if (!strcmp(name, "token")) link_to.token = value;
        else if (!strcmp(name, "count")) plan.count = (uint32_t)atol(value);
        else if (!strcmp(name, "base")) plan.base = strtoull(value, NULL, 10);
        else if (!strcmp(name, "first_room")) link_to.first_room = (unsigned)atoi(value);
        else if (!strcmp(name, "expected_bytes")) plan.expected_bytes = strtoull(value, NULL, 10);
        else if (!strcmp(name, "text_bytes")) plan.text_bytes = strtoull(value, NULL, 10);
        else if (!strcmp(name, "dialect"))
            link_to.dialect = !strcmp(value, "plain") ? PLAIN : !strcmp(value, "hocuspocus") ? HOCUSPOCUS : Y_WEBSOCKET;
        else if (!strcmp(name, "knows")) {
            /* CLIENT:CLOCK, what a client that was away still has. */
            char *clock = strchr(value, ':');
            if (!clock) give_up("knows=CLIENT:CLOCK");
            byte *p = link_to.state_vector;
            *p++ = 1;
            p = put_uint(p, strtoull(value, NULL, 10));
            p = put_uint(p, strtoull(clock + 1, NULL, 10));
            link_to.state_vector_bytes = (size_t)(p - link_to.state_vector);
        }
    }
}

#endif
