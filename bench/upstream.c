/* An OpenAI-compatible upstream that is never the limit: one thread, epoll, every answer made beforehand.
 *
 *     upstream            prints its port on stdout, and serves on 127.0.0.1 until it is killed
 *
 *     POST (any path)     an answer of `events` words: a stream where the body has "stream": true, else one document
 *     GET /set?events=N&interval_ms=M    what the next answers are: M = 0 sends all at once, else an event each M ms
 *     GET /stats          requests and events since /set, its own CPU, and how late its timer came at worst
 *     GET /v1/models      and 200 for any other GET, which routers take for health
 *
 * Events look like vLLM's, about 280 bytes, each in an HTTP chunk of its own. They are the same in every answer, so that
 * whoever asks can compare byte by byte.
 */

#include "net.h"

#include <sys/timerfd.h>

#define MAX_EVENTS 20000
#define MAX_INTERVAL 10000
#define REQUEST (1 << 20)

static const char *WORDS[] = {"the", "quick", "brown", "fox",  "jumps", "over", "a",           "lazy",           "dog,",
                              "and", "«then»", "some:\\n", "-", "\\\"more\\\"", "'words'", "—", "für", "你好", "😀", "."};
#define WORD_COUNT (sizeof WORDS / sizeof *WORDS)

#define ID "\"id\":\"chatcmpl-9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c\""
#define TAIL "\"created\":1790000000,\"model\":\"meta-llama/Llama-3.3-70B-Instruct\""
#define CHUNK "data: {" ID ",\"object\":\"chat.completion.chunk\"," TAIL ",\"choices\":[{\"index\":0,"
#define OK_HEAD "HTTP/1.1 200 OK\r\ndate: Wed, 25 Nov 2026 12:00:00 GMT\r\nserver: bench\r\n"

#define NO_LENGTH "HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

typedef struct Connection {
    int fd;
    char *in;
    size_t in_size, in_length;
    const char *out; /* of the answer that is being sent, or NULL between two requests */
    size_t sent, due, length;
    int waits_for_space;
    int64_t begun_ms; /* when it is paced: each interval after that brings one event more */
    int event;        /* how many events are due */
    struct Connection *next, **link; /* its place on the wheel */
} Connection;

static struct { char *data; size_t length, size; } stream, document;
static size_t offsets[MAX_EVENTS + 2]; /* where the nth event of `stream` ends; the last is its end */
static int events = 1, interval_ms;

static int epoll, timer, timer_runs;
static Connection *wheel[MAX_INTERVAL];
static int next_slot, paced;
static int64_t hand_ms; /* the last millisecond whose slot was served */
static int64_t requests, events_sent, late_us;

#define APPEND(buffer, ...)                                                                                       \
    do {                                                                                                          \
        if ((buffer).length + 4096 > (buffer).size)                                                               \
            (buffer).data = checked(realloc((buffer).data, (buffer).size = (buffer).size * 2 + 8192));            \
        (buffer).length += (size_t)sprintf((buffer).data + (buffer).length, __VA_ARGS__);                         \
    } while (0)

static void append_event(const char *format, const char *word) {
    char event[2048];
    int length = sprintf(event, format, word);
    APPEND(stream, "%x\r\n%s\r\n", (unsigned)length, event);
}

/* Make the answers of `events` words. */
static void prepare(void) {
    static char text[MAX_EVENTS * 16];
    size_t length = 0;
    stream.length = document.length = 0;
    APPEND(stream, OK_HEAD "content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n");
    append_event(CHUNK "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}]}\n\n%s", "");
    for (int number = 0; number < events; number++) {
        const char *word = WORDS[(size_t)number % WORD_COUNT];
        append_event(CHUNK "\"delta\":{\"content\":\" %s\"},\"logprobs\":null,\"finish_reason\":null,\"token_ids\":null}]}\n\n", word);
        offsets[number] = stream.length;
        length += (size_t)sprintf(text + length, " %s", word);
    }
    append_event(CHUNK "\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null,\"token_ids\":null}]}\n\n%s", "");
    append_event("data: [DONE]\n\n%s", "");
    APPEND(stream, "0\r\n\r\n");
    offsets[events] = stream.length;

    const char *before = "{" ID ",\"object\":\"chat.completion\"," TAIL ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"";
    const char *after = "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%5d,\"total_tokens\":%5d}}";
    APPEND(document, OK_HEAD "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
           strlen(before) + length + strlen(after) + 4, before);
    document.data = checked(realloc(document.data, document.size = document.length + length + 4096));
    memcpy(document.data + document.length, text, length);
    document.length += length;
    document.length += (size_t)sprintf(document.data + document.length, after, events, events + 9);
}

static void leave_wheel(Connection *connection) {
    if (!connection->link) return;
    *connection->link = connection->next;
    if (connection->next) connection->next->link = connection->link;
    connection->link = NULL;
    paced--;
}

static void enter_wheel(Connection *connection) {
    if (!timer_runs) {
        struct itimerspec each = {{0, 1000000}, {0, 1000000}};
        timerfd_settime(timer, 0, &each, NULL);
        hand_ms = now_us() / 1000;
        timer_runs = 1;
    }
    connection->begun_ms = hand_ms + 1 + next_slot++ % interval_ms - interval_ms; /* spread over the whole interval */
    connection->link = &wheel[connection->begun_ms % interval_ms];
    connection->next = *connection->link;
    if (connection->next) connection->next->link = &connection->next;
    *connection->link = connection;
    paced++;
}

static void drop(Connection *connection) {
    leave_wheel(connection);
    close(connection->fd);
    free(connection->in);
    free(connection);
}

static void watch(Connection *connection, int for_space) {
    if (connection->waits_for_space == for_space) return;
    connection->waits_for_space = for_space;
    struct epoll_event event = {.events = EPOLLIN | (for_space ? EPOLLOUT : 0), .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

/* Send what is due. 0 when the connection is gone. */
static int flush(Connection *connection) {
    while (connection->out && connection->sent < connection->due) {
        ssize_t count = send(connection->fd, connection->out + connection->sent, connection->due - connection->sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            watch(connection, 1);
            return 1;
        }
        if (count < 0) {
            drop(connection);
            return 0;
        }
        connection->sent += (size_t)count;
    }
    watch(connection, 0);
    if (connection->out && connection->sent == connection->length) {
        leave_wheel(connection);
        connection->out = NULL;
    }
    return 1;
}

static int reply(Connection *connection, const char *data, size_t length) {
    connection->out = data;
    connection->sent = 0;
    connection->due = connection->length = length;
    return flush(connection);
}

static int answer(Connection *connection, int streamed) {
    requests++;
    if (!streamed) return reply(connection, document.data, document.length);
    if (!interval_ms) {
        events_sent += events;
        return reply(connection, stream.data, stream.length);
    }
    connection->out = stream.data;
    connection->sent = 0;
    connection->length = stream.length;
    connection->event = 1;
    connection->due = offsets[0];
    events_sent++;
    enter_wheel(connection);
    return flush(connection);
}

static int64_t parameter(const char *line, const char *name) {
    const char *found = strstr(line, name);
    return found ? atoll(found + strlen(name)) : 0;
}

static int control(Connection *connection, const char *line) {
    static char out[1024];
    char body[512];
    if (!strncmp(line, "GET /set?", 9)) {
        int64_t count = parameter(line, "events="), every = parameter(line, "interval_ms=");
        if (count < 1 || count > MAX_EVENTS || every < 0 || every > MAX_INTERVAL || paced) {
            sprintf(body, "{\"error\":\"events 1..%d, interval_ms 0..%d, and no paced stream open\"}", MAX_EVENTS, MAX_INTERVAL);
        } else {
            events = (int)count;
            interval_ms = (int)every;
            next_slot = 0;
            requests = events_sent = late_us = 0;
            prepare();
            sprintf(body, "{}");
        }
    } else if (!strncmp(line, "GET /stats", 10)) {
        sprintf(body, "{\"requests\":%lld,\"events\":%lld,\"cpu_us\":%lld,\"late_us\":%lld}", (long long)requests,
                (long long)events_sent, (long long)cpu_us(), (long long)late_us);
    } else if (strstr(line, "/models ")) {
        strcpy(body, "{\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":1790000000,\"owned_by\":\"vllm\"}]}");
    } else {
        strcpy(body, "{}");
    }
    size_t length = (size_t)sprintf(out, OK_HEAD "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", strlen(body), body);
    return reply(connection, out, length);
}

/* Take one request out of what has come in. 1: taken; 0: not whole yet; -1: the connection is gone. */
static int take(Connection *connection) {
    char *head_end = memmem(connection->in, connection->in_length, "\r\n\r\n", 4);
    if (!head_end) return 0;
    *head_end = 0;
    size_t head = (size_t)(head_end + 4 - connection->in);
    const char *field = strcasestr(connection->in, "\ncontent-length:");
    size_t length = head + (field ? (size_t)atoll(field + 16) : 0);
    if (connection->in_length < length) {
        *head_end = '\r';
        return 0;
    }
    const char *body = head_end + 4;
    int alive;
    if (!strncmp(connection->in, "POST ", 5)) {
        const char *end = body + (length - head), *wish = memmem(body, length - head, "\"stream\":", 9);
        if (wish) wish += strlen("\"stream\":");
        while (wish && wish < end && *wish == ' ') wish++;
        alive = strcasestr(connection->in, "\ntransfer-encoding:") ? reply(connection, NO_LENGTH, strlen(NO_LENGTH))
                                                                    : answer(connection, wish && wish < end && *wish == 't');
    } else {
        alive = control(connection, connection->in);
    }
    if (!alive) return -1;
    memmove(connection->in, connection->in + length, connection->in_length -= length);
    return 1;
}

static void on_input(Connection *connection) {
    if (connection->in_length + 65536 > connection->in_size) {
        if (connection->in_size > REQUEST) return drop(connection);
        connection->in = checked(realloc(connection->in, connection->in_size = connection->in_size * 2 + 66000));
    }
    ssize_t count = recv(connection->fd, connection->in + connection->in_length, 65536, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) return drop(connection);
    connection->in_length += (size_t)count;
    while (!connection->out && take(connection) > 0) {}
}

static void on_space(Connection *connection) {
    if (flush(connection) && !connection->out) while (!connection->out && take(connection) > 0) {}
}

/* Serve the slots of all milliseconds that have passed. Where the timer was late, a stream sends all its due events at once. */
static void on_tick(void) {
    uint64_t ticks;
    if (read(timer, &ticks, sizeof ticks) < 0) return;
    int64_t now = now_us(), now_ms = now / 1000, slots = now_ms - hand_ms < interval_ms ? now_ms - hand_ms : interval_ms;
    if (paced && now - (hand_ms + 1) * 1000 > late_us) late_us = now - (hand_ms + 1) * 1000;
    for (; paced && slots > 0; slots--) {
        Connection *next;
        for (Connection *connection = wheel[(now_ms - slots + 1) % interval_ms]; connection; connection = next) {
            next = connection->next;
            int64_t due = 1 + (now_ms - connection->begun_ms) / interval_ms;
            if (due > events) due = events + 1; /* with the end */
            events_sent += (due < events ? due : events) - (connection->event < events ? connection->event : events);
            connection->event = (int)due;
            connection->due = offsets[due - 1];
            flush(connection);
        }
    }
    hand_ms = now_ms;
    if (!paced) {
        struct itimerspec never = {{0, 0}, {0, 0}};
        timerfd_settime(timer, 0, &never, NULL);
        timer_runs = 0;
    }
}

static void on_connections(int listener) {
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
        make_quick(fd);
        Connection *connection = checked(calloc(1, sizeof *connection));
        connection->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(void) {
    raise_file_limit();
    prepare();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 8192)) DIE("upstream: cannot listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &listener});
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &timer});
    for (;;) {
        struct epoll_event ready[512];
        int count = epoll_wait(epoll, ready, 512, -1), ticked = 0;
        for (int number = 0; number < count; number++) {
            Connection *connection = ready[number].data.ptr;
            if (ready[number].data.ptr == &listener) on_connections(listener);
            else if (ready[number].data.ptr == &timer) ticked = 1;
            else if (ready[number].events & EPOLLOUT) on_space(connection);
            else on_input(connection);
        }
        if (ticked) on_tick(); /* last: it may close connections of this turn */
    }
}
