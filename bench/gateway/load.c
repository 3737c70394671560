// Sends calls and times them; every answer is checked. Two ways:
//
//   load closed SECONDS CONNECTIONS NAME PORT REQUEST_FILE        as fast as the connections allow
//   load paced  SECONDS RATE [NAME PORT REQUEST_FILE]...          RATE calls a second to each server, in turn
//
// Paced calls are timed from the moment they were due, so a server that stalls is charged for those that waited.
// The first fifth of the time is not counted. Prints one JSON object per server: calls counted (n), errors, all calls
// sent, calls a second, and microseconds to the first byte of the body (first) and to the last (whole): p50, p90, p99.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SERVERS = 16, PACED_LINES = 64, ROOM = 1 << 20, SAMPLES = 1 << 22 };

typedef struct Server Server;
typedef struct Line Line;
struct Line {
    Server *server;
    int fd, busy, chunked;
    long length;           // of the body, -1 while unknown
    size_t held, head, at;  // bytes held, size of the head, where the next chunk begins
    double begun, first;
    Line *idle;
    char in[ROOM];
};
struct Server {
    const char *name, *proof;
    int port;
    char *request;
    size_t size;
    float *first, *whole;
    long counted, errors, sent;
    Line *idle;
    char complaint[200];
};

static Server servers[SERVERS];
static int server_count, poller, closed;
static double counts_from, ends;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void dial(Line *line) {
    int yes = 1;
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(line->server->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    line->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(line->fd, (void *)&there, sizeof there)) { perror(line->server->name); exit(1); }
    fcntl(line->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event in = {EPOLLIN, {.ptr = line}};
    epoll_ctl(poller, EPOLL_CTL_ADD, line->fd, &in);
}

static void send_call(Line *line, double due) {
    Server *server = line->server;
    size_t done = 0;
    line->busy = 1;
    line->held = line->head = line->at = 0;
    line->length = -1;
    line->chunked = 0;
    line->begun = due;
    line->first = 0;
    server->sent++;
    while (done < server->size) {
        ssize_t n = write(line->fd, server->request + done, server->size - done);
        if (n > 0) done += n;
        else if (errno != EAGAIN) { close(line->fd); dial(line); done = 0; }
    }
}

static void finish(Line *line, int good) {
    Server *server = line->server;
    double end = now();
    if (good && (strncmp(line->in + 9, "200", 3) || !memmem(line->in + line->head, line->held - line->head, server->proof, strlen(server->proof)))) good = 0;
    if (line->begun >= counts_from && (closed ? end : line->begun) <= ends) {
        if (!good) server->errors++;
        else if (server->counted < SAMPLES) {
            server->first[server->counted] = (line->first - line->begun) * 1e6;
            server->whole[server->counted++] = (end - line->begun) * 1e6;
        }
    }
    if (!good && !*server->complaint) snprintf(server->complaint, sizeof server->complaint, "%.*s", (int)line->held, line->in);
    line->busy = 0;
    if (!closed) { line->idle = server->idle; server->idle = line; }
    else if (end < ends) send_call(line, end);
}

// Whether the answer is whole by now.
static int is_whole(Line *line) {
    if (!line->head) {
        char *end = memmem(line->in, line->held, "\r\n\r\n", 4);
        if (!end) return 0;
        *end = 0;
        char *length = strcasestr(line->in, "\r\ncontent-length:");
        line->chunked = strcasestr(line->in, "\r\ntransfer-encoding: chunked") != NULL;
        if (length) line->length = strtol(length + 17, NULL, 10);
        *end = '\r';
        line->head = line->at = end + 4 - line->in;
    }
    if (line->held > line->head && !line->first) line->first = now();
    if (line->length >= 0) return line->held >= line->head + line->length;
    while (line->chunked && line->at < line->held) {
        char *size_ends = memmem(line->in + line->at, line->held - line->at, "\r\n", 2);
        if (!size_ends) return 0;
        size_t size = strtoul(line->in + line->at, NULL, 16), next = size_ends + 2 - line->in + size + 2;
        if (next > line->held) return 0;
        if (!size) return 1;
        line->at = next;
    }
    return 0;
}

static void hear(Line *line) {
    for (;;) {
        ssize_t got = read(line->fd, line->in + line->held, ROOM - 1 - line->held);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            int was_busy = line->busy;
            close(line->fd);
            dial(line);
            if (was_busy) finish(line, line->head && line->length < 0 && !line->chunked);
            return;
        }
        line->held += got;
        line->in[line->held] = 0;
        if (!line->busy) { line->held = 0; continue; }
        if (is_whole(line)) { finish(line, 1); return; }
    }
}

static void meet(char **given) {
    Server *server = &servers[server_count++];
    int fd = open(given[2], O_RDONLY);
    server->name = given[0];
    server->port = atoi(given[1]);
    server->request = calloc(1, ROOM);
    server->size = read(fd, server->request, ROOM - 1);
    server->proof = strstr(server->request, "\"stream\":true") ? "[DONE]" : "\"finish_reason\"";
    server->first = malloc(SAMPLES * sizeof(float));
    server->whole = malloc(SAMPLES * sizeof(float));
    close(fd);
}

static Line *connect_to(Server *server) {
    Line *line = calloc(1, sizeof *line);
    line->server = server;
    dial(line);
    return line;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void tell(Server *server, double seconds) {
    double shares[] = {0.5, 0.9, 0.99};
    float *kinds[] = {server->first, server->whole};
    printf("{\"name\":\"%s\",\"n\":%ld,\"errors\":%ld,\"sent\":%ld,\"per_second\":%.1f", server->name, server->counted, server->errors, server->sent, server->counted / seconds);
    for (int kind = 0; kind < 2; kind++) {
        qsort(kinds[kind], server->counted, sizeof(float), ascending);
        printf(",\"%s\":[", kind ? "whole" : "first");
        for (int i = 0; i < 3; i++) printf("%s%.1f", i ? "," : "", server->counted ? kinds[kind][(long)(shares[i] * (server->counted - 1))] : 0.0);
        printf("]");
    }
    printf("}\n");
    if (*server->complaint) fprintf(stderr, "%s answered: %s\n", server->name, server->complaint);
}

int main(int count, char **given) {
    if (count < 7) return 2;
    double seconds = atof(given[2]), rate = atof(given[3]);
    closed = !strcmp(given[1], "closed");
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    for (int i = 4; i + 2 < count && server_count < SERVERS; i += 3) meet(given + i);
    int lines = closed ? (int)rate : PACED_LINES;
    Line *every[SERVERS * PACED_LINES * 16];
    int line_count = 0;
    for (int i = 0; i < server_count; i++)
        for (int k = 0; k < lines; k++) {
            Line *line = every[line_count++] = connect_to(&servers[i]);
            line->idle = servers[i].idle;
            servers[i].idle = line;
        }
    double begun = now(), step = closed ? 0 : 1 / (rate * server_count);
    long turn = 0;
    counts_from = begun + seconds / 5;
    ends = begun + seconds;
    if (closed) for (int i = 0; i < line_count; i++) send_call(every[i], now());
    for (;;) {
        double moment = now(), wait = ends - moment;
        int busy = 0;
        while (!closed && begun + turn * step <= moment && begun + turn * step < ends) {
            Server *server = &servers[turn % server_count];
            double due = begun + turn++ * step;
            Line *line = server->idle;
            if (!line) { if (due >= counts_from) server->errors++; continue; }
            server->idle = line->idle;
            send_call(line, due);
        }
        if (moment > ends) {
            for (int i = 0; i < line_count; i++) busy |= every[i]->busy;
            if (!busy || moment > ends + 10) break;
            wait = 0.05;
        } else if (!closed && begun + turn * step < ends) wait = begun + turn * step - now();
        if (wait < 0) wait = 0;
        struct timespec limit = {(time_t)wait, (long)((wait - (time_t)wait) * 1e9)};
        struct epoll_event came[256];
        int n = epoll_pwait2(poller, came, 256, &limit, NULL);
        for (int i = 0; i < n; i++) hear(came[i].data.ptr);
    }
    for (int i = 0; i < server_count; i++) tell(&servers[i], seconds * 4 / 5);
    return 0;
}
