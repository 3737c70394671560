// A provider with no latency of its own, so that what is measured is the gateway before it.
//
//   upstream PORT
//
// Every POST is answered with one chat completion of 300 tokens; a body that asks for a stream gets a role event, 100
// content events and the closing events with usage. Every GET gets a list of models. A body with the text
// `[wait 50 5]` is answered after 50 ms, and a stream's content events then come 5 ms apart. One thread; all waits of a
// run are equal, so two queues replace a timer heap.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 100, LAST = EVENTS + 3, ROOM = 1 << 18 };

typedef struct { char *at; size_t size; } Text;
typedef struct Line Line;  // one connection
struct Line {
    int fd, next_event, streaming, answering, gone, wait, gap;
    size_t held, unsent, unsent_room;
    char *outgoing;
    double due;
    Line *later;
    char incoming[ROOM];
};
typedef struct { Line *first, *last; } Queue;

static Queue first_byte, next_event;
static int listening, poller;
static Text answer, models, stream_head, event[LAST + 1], burst;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static Text text(const char *format, ...) {
    Text made;
    va_list given;
    va_start(given, format);
    made.size = vasprintf(&made.at, format, given);
    va_end(given);
    return made;
}

static void prepare(void) {
    static const char *words[] = {"level ", "weir ", "holds ", "water ", "and ", "measures ", "what ", "passes "};
    static const char *usage =
        "{\"prompt_tokens\":180,\"completion_tokens\":300,\"total_tokens\":480,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}";
    static const char *head = "\"created\":1790000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_bench\"";
    char said[4096] = "";
    for (int i = 0; i < 300; i++) strcat(said, words[i * 5 % 8]);
    Text body = text("{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",%s,\"choices\":[{\"index\":0,\"message\":"
                     "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,"
                     "\"finish_reason\":\"stop\"}],\"usage\":%s}", head, said, usage);
    answer = text("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", body.size, body.at);
    body = text("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1,\"owned_by\":\"bench\"}]}");
    models = text("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", body.size, body.at);
    stream_head = text("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                       "transfer-encoding: chunked\r\n\r\n");
    burst = text("%s", stream_head.at);
    for (int i = 0; i <= LAST; i++) {
        const char *opens = "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\"";
        if (i == 0) body = text("%s,%s,\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n", opens, head);
        else if (i <= EVENTS) body = text("%s,%s,\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s%s%s\"},\"finish_reason\":null}]}\n\n", opens, head, words[i % 8], words[i * 3 % 8], words[i * 5 % 8]);
        else if (i == EVENTS + 1) body = text("%s,%s,\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", opens, head);
        else if (i == EVENTS + 2) body = text("%s,%s,\"choices\":[],\"usage\":%s}\n\n", opens, head, usage);
        else body = text("data: [DONE]\n\n");
        event[i] = text("%zx\r\n%s\r\n%s", body.size, body.at, i == LAST ? "0\r\n\r\n" : "");
        Text longer = text("%s%s", burst.at, event[i].at);
        free(burst.at);
        burst = longer;
    }
}

static void hang_up(Line *line) {
    if (line->gone) return;
    line->gone = 1;
    close(line->fd);
    if (line->answering) return;  // still queued: freed when its time comes
    free(line->outgoing);
    free(line);
}

// Writes now what the socket takes; the rest when it can be written again.
static void say(Line *line, Text said) {
    ssize_t sent = 0;
    if (line->gone) return;
    if (!line->unsent) {
        sent = write(line->fd, said.at, said.size);
        if (sent < 0) sent = 0;
    }
    if ((size_t)sent == said.size) return;
    size_t rest = said.size - sent;
    if (line->unsent + rest > line->unsent_room) {
        line->unsent_room = (line->unsent + rest) * 2;
        line->outgoing = realloc(line->outgoing, line->unsent_room);
    }
    memcpy(line->outgoing + line->unsent, said.at + sent, rest);
    if (!line->unsent) {
        struct epoll_event both = {EPOLLIN | EPOLLOUT, {.ptr = line}};
        epoll_ctl(poller, EPOLL_CTL_MOD, line->fd, &both);
    }
    line->unsent += rest;
}

static void say_rest(Line *line) {
    ssize_t sent = write(line->fd, line->outgoing, line->unsent);
    if (sent <= 0) return;
    line->unsent -= sent;
    memmove(line->outgoing, line->outgoing + sent, line->unsent);
    if (!line->unsent) {
        struct epoll_event in = {EPOLLIN, {.ptr = line}};
        epoll_ctl(poller, EPOLL_CTL_MOD, line->fd, &in);
    }
}

static void put_off(Line *line, Queue *queue, double due) {
    line->due = due;
    line->later = NULL;
    if (queue->first) queue->last->later = line;
    else queue->first = line;
    queue->last = line;
}

static void proceed(Line *line);

// The next piece of the answer. Returns when the answer is complete or has to wait.
static void answer_now(Line *line) {
    if (!line->streaming) say(line, answer);
    else if (!line->gap) say(line, burst);
    else {
        if (!line->next_event) say(line, stream_head);
        say(line, event[line->next_event++]);
        if (line->next_event <= EVENTS) { put_off(line, &next_event, line->due + line->gap); return; }
        while (line->next_event <= LAST) say(line, event[line->next_event++]);
    }
    line->answering = 0;
    if (line->gone) { free(line->outgoing); free(line); return; }
    proceed(line);
}

// Takes the next whole request out of what came in, if there is one.
static int take(Line *line, int *is_get) {
    char *end = memmem(line->incoming, line->held, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end + 4 - line->incoming, whole = head;
    char *body = line->incoming + head;
    *end = 0;
    char *length = strcasestr(line->incoming, "\r\ncontent-length:");
    int chunked = strcasestr(line->incoming, "\r\ntransfer-encoding: chunked") != NULL;
    int waits = strcasestr(line->incoming, "\r\nexpect:") != NULL;
    *end = '\r';
    if (chunked) {
        char *last = memmem(body, line->held - head, "0\r\n\r\n", 5);
        if (last) whole = last + 5 - line->incoming;
        else whole = line->held + 1;
    } else if (length) whole += strtoul(length + 17, NULL, 10);
    if (line->held < whole) {
        if (waits && line->held == head) say(line, (Text){"HTTP/1.1 100 Continue\r\n\r\n", 25});
        return 0;
    }
    *is_get = line->incoming[0] == 'G';
    line->streaming = memmem(body, whole - head, "\"stream\":true", 13) || memmem(body, whole - head, "\"stream\": true", 14);
    char *waits_for = memmem(body, whole - head, "[wait ", 6);
    line->wait = line->gap = 0;
    if (waits_for) sscanf(waits_for, "[wait %d %d]", &line->wait, &line->gap);
    line->held -= whole;
    memmove(line->incoming, line->incoming + whole, line->held);
    return 1;
}

static void proceed(Line *line) {
    int is_get;
    while (!line->answering && take(line, &is_get)) {
        if (is_get) { say(line, models); continue; }
        line->answering = 1;
        line->next_event = 0;
        if (line->wait) put_off(line, &first_byte, now() + line->wait);
        else { answer_now(line); return; }
    }
}

static void hear(Line *line) {
    ssize_t got = read(line->fd, line->incoming + line->held, ROOM - line->held);
    if (got == 0 || (got < 0 && errno != EAGAIN) || (size_t)got == ROOM - line->held) { hang_up(line); return; }
    if (got > 0) { line->held += got; proceed(line); }
}

static void welcome(void) {
    int fd, yes = 1;
    while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        Line *line = calloc(1, sizeof *line);
        line->fd = fd;
        struct epoll_event in = {EPOLLIN, {.ptr = line}};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &in);
    }
}

static void listen_on(int number) {
    int yes = 1;
    listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listening, (void *)&here, sizeof here) || listen(listening, 4096)) { perror("upstream"); exit(1); }
    struct epoll_event in = {EPOLLIN, {.ptr = NULL}};
    epoll_ctl(poller, EPOLL_CTL_ADD, listening, &in);
}

// Answers what is due, and says how long nothing will be (milliseconds, -1: until something comes in).
static double answer_due(void) {
    double moment = now(), wait = -1;
    Queue *queues[] = {&first_byte, &next_event};
    for (int i = 0; i < 2; i++) {
        while (queues[i]->first && queues[i]->first->due <= moment) {
            Line *line = queues[i]->first;
            queues[i]->first = line->later;
            answer_now(line);
        }
        if (queues[i]->first && (wait < 0 || queues[i]->first->due - moment < wait)) wait = queues[i]->first->due - moment;
    }
    return wait;
}

int main(int count, char **given) {
    signal(SIGPIPE, SIG_IGN);
    prepare();
    poller = epoll_create1(0);
    if (count != 2) return 2;
    listen_on(atoi(given[1]));
    for (;;) {
        struct epoll_event came[256];
        double wait = answer_due();
        struct timespec limit = {(time_t)(wait / 1e3), (long)((wait - (time_t)(wait / 1e3) * 1e3) * 1e6)};
        int n = epoll_pwait2(poller, came, 256, wait < 0 ? NULL : &limit, NULL);
        for (int i = 0; i < n; i++) {
            Line *line = came[i].data.ptr;
            if (!line) { welcome(); continue; }
            if (came[i].events & EPOLLOUT) say_rest(line);
            if (came[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) hear(line);
        }
    }
}
