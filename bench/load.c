/* A load generator that is never the limit: one thread, epoll, keep-alive, every byte of every answer compared.
 *
 *     load --port N | --unix PATH   where to
 *          --path P --body FILE     the request: POST P with that body; --header 'Name: value' adds to it
 *          [--text FILE]            the text that each answer must hold, to the byte; without it any text will do
 *          --streams                answers are event streams (else: one document)
 *          --concurrency N          connections, each with one request at a time
 *          --requests M             in all
 *          [--ramp MS]              the first requests are spread over that time
 *
 * A stream must bring its text, a finish reason and [DONE], and end its body properly; how it is cut into chunks and events is the
 * gateway's business. Prints one JSON object: times in microseconds; `first` is from the request's last byte to the first
 * text, `gap` the longest time between two reads that brought text, `wrong` the answers that were not as they must be.
 */

#include "net.h"

#include <getopt.h>

#define BUFFER (1 << 18)

typedef enum { IDLE, HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER } State;

typedef struct {
    int fd;
    State state;
    int64_t asked, first, heard; /* when the request was sent, when text first and last came */
    int reused; /* an answer has come over it before */
    int status, closes, has_length, texts, finished, done, wrong;
    uint64_t left; /* bytes of the body or chunk that are still to come */
    char *line;    /* a head, a chunk's size, or a line of the stream that is not whole yet */
    size_t line_length, line_size;
    char *payload; /* a document */
    size_t payload_length, payload_size;
    size_t at; /* how much of the text has come */
} Connection;

static struct sockaddr_storage target;
static socklen_t target_size;
static char *request, *text;
static size_t request_length, text_length;
static int streams, concurrency = 1, epoll, with_text;
static int64_t wanted = 1, asked, answered, wrong, texts, bytes, gap_us, ramp_us;
static int64_t *firsts, *totals;
static char complaint[512];

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) DIE("load: cannot read %s", path);
    char *data = checked(malloc(1 << 24));
    *length = fread(data, 1, 1 << 24, file);
    fclose(file);
    return data;
}

static void complain(Connection *connection, const char *what, const char *data, size_t length) {
    connection->wrong = 1;
    if (*complaint) return;
    int size = snprintf(complaint, 200, "%s", what);
    for (size_t number = 0; number < length && number < 120 && size < 400; number++) {
        unsigned char byte = (unsigned char)data[number];
        complaint[size++] = byte < ' ' || byte > '~' || byte == '"' || byte == '\\' ? '.' : (char)byte;
    }
    complaint[size] = 0;
}

static void keep(char **buffer, size_t *length, size_t *size, const char *data, size_t count) {
    if (*length + count > *size) *buffer = checked(realloc(*buffer, *size = (*length + count) * 2 + 1024));
    memcpy(*buffer + *length, data, count);
    *length += count;
}

/* ---- what an answer says */

static unsigned hex(const char *digits) {
    unsigned value = 0;
    for (int number = 0; number < 4; number++) {
        char digit = digits[number];
        value = value * 16 + (unsigned)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
    }
    return value;
}

/* A JSON string's inside becomes UTF-8; its length. */
static size_t unescape(const char *from, const char *end, char *to) {
    char *begin = to;
    while (from < end) {
        if (*from != '\\') {
            *to++ = *from++;
            continue;
        }
        char kind = from[1];
        from += 2;
        if (kind != 'u') {
            const char *found = strchr("n\nt\tr\rb\bf\f", kind);
            *to++ = found ? found[1] : kind;
            continue;
        }
        if (end - from < 4) break;
        unsigned code = hex(from);
        from += 4;
        if (code >= 0xD800 && code < 0xDC00 && end - from >= 6) {
            code = 0x10000 + ((code - 0xD800) << 10) + (hex(from + 2) - 0xDC00);
            from += 6;
        }
        if (code < 0x80) *to++ = (char)code;
        else {
            int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
            *to++ = (char)((more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0) | code >> 6 * more);
            while (more--) *to++ = (char)(0x80 | (code >> 6 * more & 0x3F));
        }
    }
    return (size_t)(to - begin);
}

static void on_text(Connection *connection, const char *from, const char *end) {
    static char plain[BUFFER];
    if (end - from > BUFFER) return complain(connection, "a text that is too long", "", 0);
    size_t length = unescape(from, end, plain);
    if (!length) return;
    connection->texts++;
    if (with_text && (connection->at + length > text_length || memcmp(text + connection->at, plain, length)))
        complain(connection, "another text: ", plain, length);
    connection->at += length;
}

/* Look for "content", "finish_reason" and "error" in a JSON document, at any depth, in any order. */
static void read_json(Connection *connection, const char *data, size_t length) {
    const char *end = data + length, *key = NULL;
    size_t key_length = 0;
    for (const char *at = data; at < end;) {
        if (*at != '"') {
            if (*at == '{' && key && key_length == 5 && !memcmp(key, "error", 5)) complain(connection, "an error: ", data, length);
            if (*at != ':' && *at != ' ') key = NULL;
            at++;
            continue;
        }
        const char *string = ++at;
        while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
        if (at >= end) return complain(connection, "no JSON: ", data, length);
        if (!key) {
            key = string; /* or a value in an array, which no colon follows */
            key_length = (size_t)(at - string);
        } else {
            if (key_length == 7 && !memcmp(key, "content", 7)) on_text(connection, string, at);
            else if (key_length == 13 && !memcmp(key, "finish_reason", 13)) connection->finished = 1;
            key = NULL;
        }
        at++;
    }
}

static void on_line(Connection *connection, const char *line, size_t length) {
    if (length && line[length - 1] == '\r') length--;
    if (length < 5 || memcmp(line, "data:", 5)) return;
    line += 5, length -= 5;
    if (length && *line == ' ') line++, length--;
    if (length == 6 && !memcmp(line, "[DONE]", 6)) connection->done = 1;
    else if (connection->done) complain(connection, "an event after [DONE]: ", line, length);
    else read_json(connection, line, length);
}

static void on_body(Connection *connection, const char *data, size_t length) {
    if (!streams || connection->status != 200)
        return keep(&connection->payload, &connection->payload_length, &connection->payload_size, data, length);
    int before = connection->texts;
    const char *end = data + length, *newline;
    while ((newline = memchr(data, '\n', (size_t)(end - data)))) {
        if (connection->line_length) {
            keep(&connection->line, &connection->line_length, &connection->line_size, data, (size_t)(newline - data));
            on_line(connection, connection->line, connection->line_length);
            connection->line_length = 0;
        } else {
            on_line(connection, data, (size_t)(newline - data));
        }
        data = newline + 1;
    }
    keep(&connection->line, &connection->line_length, &connection->line_size, data, (size_t)(end - data));
    if (connection->texts == before) return;
    int64_t now = now_us();
    if (connection->heard && now - connection->heard > gap_us) gap_us = now - connection->heard;
    if (!connection->heard) connection->first = now;
    connection->heard = now;
}

/* ---- connections */

static void ask(Connection *connection) {
    if (asked == wanted) return;
    asked++;
    Connection fresh = {.fd = connection->fd, .state = HEAD, .reused = connection->reused, .line = connection->line, .line_size = connection->line_size,
                        .payload = connection->payload, .payload_size = connection->payload_size};
    *connection = fresh;
    ssize_t count = send(connection->fd, request, request_length, MSG_NOSIGNAL);
    if (count >= 0 && count != (ssize_t)request_length) DIE("load: the request does not fit into the socket's buffer");
    connection->asked = now_us(); /* what a failed send means, the next read tells */
}

static void open_connection(Connection *connection) {
    connection->fd = socket(target.ss_family, SOCK_STREAM, 0);
    if (connect(connection->fd, (struct sockaddr *)&target, target_size)) DIE("load: cannot connect: %s", strerror(errno));
    make_quick(connection->fd);
    connection->state = IDLE;
    connection->reused = 0;
    epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = connection});
}

static void on_whole(Connection *connection) {
    if (connection->status != 200) complain(connection, "a status that is not 200: ", connection->payload, connection->payload_length);
    else if (!streams) read_json(connection, connection->payload, connection->payload_length);
    if (!connection->wrong && with_text && connection->at != text_length) complain(connection, "a text that is cut short", "", 0);
    if (!connection->wrong && !connection->finished) complain(connection, "no finish reason", "", 0);
    if (!connection->wrong && streams && !connection->done) complain(connection, "no [DONE]", "", 0);
    int64_t now = now_us();
    firsts[answered + wrong] = (connection->first ? connection->first : now) - connection->asked;
    totals[answered + wrong] = now - connection->asked;
    texts += connection->texts;
    if (connection->wrong) wrong++;
    else answered++;
    connection->state = IDLE;
    connection->reused = 1;
    if (connection->closes) {
        close(connection->fd);
        open_connection(connection);
    }
    ask(connection);
}

static void on_end(Connection *connection) {
    if (connection->state == IDLE) {
        close(connection->fd);
        if (asked < wanted) open_connection(connection);
        return;
    }
    if (connection->state == HEAD && connection->reused && !connection->line_length) { /* it let go as we asked: ask again */
        close(connection->fd);
        open_connection(connection);
        asked--;
        return ask(connection);
    }
    connection->closes = 1;
    if (connection->state != BODY || connection->has_length) complain(connection, "the connection was closed within an answer", "", 0);
    on_whole(connection);
}

static void on_head(Connection *connection) {
    char *head = connection->line;
    int chunked = strcasestr(head, "\r\ntransfer-encoding: chunked") != NULL;
    connection->status = atoi(head + 9);
    connection->closes = strcasestr(head, "\r\nconnection: close") != NULL;
    char *length = strcasestr(head, "\r\ncontent-length:");
    connection->line_length = 0;
    connection->state = chunked ? CHUNK_SIZE : BODY;
    connection->has_length = length != NULL;
    connection->left = chunked ? 0 : length ? strtoull(length + 17, NULL, 10) : UINT64_MAX;
}

/* A head's bytes into `line`, which a stream's own lines need later only; 1 when it is whole. */
static int take_head(Connection *connection, const char **data, const char *end) {
    while (*data < end) {
        keep(&connection->line, &connection->line_length, &connection->line_size, (*data)++, 1);
        if (connection->line_length >= 4 && !memcmp(connection->line + connection->line_length - 4, "\r\n\r\n", 4)) {
            keep(&connection->line, &connection->line_length, &connection->line_size, "", 1);
            return 1;
        }
    }
    return 0;
}

static void on_data(Connection *connection, const char *data, size_t length) {
    const char *end = data + length;
    while (data < end) {
        if (connection->state == IDLE) return complain(connection, "bytes that nobody asked for: ", data, (size_t)(end - data));
        if (connection->state == HEAD) {
            if (!take_head(connection, &data, end)) return;
            on_head(connection);
        } else if (connection->state == BODY || connection->state == CHUNK) {
            size_t count = (size_t)(end - data) < connection->left ? (size_t)(end - data) : (size_t)connection->left;
            on_body(connection, data, count);
            data += count;
            connection->left -= count;
            if (!connection->left && connection->state == CHUNK) connection->left = 2, connection->state = CHUNK_END;
        } else if (connection->state == CHUNK_END) {
            data++;
            if (!--connection->left) connection->state = CHUNK_SIZE;
        } else if (connection->state == CHUNK_SIZE) { /* the few bytes of a size never wait for long: kept in `left` itself */
            char byte = *data++;
            if (byte == '\n') connection->state = connection->left ? CHUNK : TRAILER;
            else if (byte != '\r') connection->left = connection->left * 16 + (uint64_t)(byte <= '9' ? byte - '0' : (byte | 32) - 'a' + 10);
        } else { /* after the last chunk: an empty line, as nobody sends trailers */
            if (*data++ == '\n') connection->state = BODY, connection->left = 0;
        }
        if (connection->state == BODY && !connection->left) {
            on_whole(connection);
            if (data < end) complain(connection, "bytes after the end: ", data, (size_t)(end - data));
            return;
        }
    }
}

/* ---- the run */

static int smaller(const void *one, const void *other) {
    int64_t difference = *(const int64_t *)one - *(const int64_t *)other;
    return difference < 0 ? -1 : difference > 0;
}

static void print_times(const char *name, int64_t *times) {
    int64_t count = answered + wrong;
    qsort(times, (size_t)count, sizeof *times, smaller);
    printf("\"%s\":{\"p50\":%lld,\"p99\":%lld,\"max\":%lld},", name, (long long)times[count / 2],
           (long long)times[count * 99 / 100], (long long)times[count - 1]);
}

static void make_request(const char *path, const char *headers, const char *body, size_t length) {
    request = checked(malloc(length + 8192));
    int head = snprintf(request, 8192,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: */*\r\n%sContent-Length: %zu\r\n\r\n",
                        path, headers, length);
    memcpy(request + head, body, length);
    request_length = (size_t)head + length;
}

static void read_options(int count, char **values) {
    static const struct option names[] = {{"port", 1, 0, 'p'}, {"unix", 1, 0, 'u'}, {"path", 1, 0, 'a'}, {"body", 1, 0, 'b'},
                                          {"text", 1, 0, 't'}, {"streams", 0, 0, 's'}, {"concurrency", 1, 0, 'c'},
                                          {"requests", 1, 0, 'r'}, {"header", 1, 0, 'h'}, {"ramp", 1, 0, 'm'}, {0}};
    char *path = "/v1/chat/completions", *body = NULL, headers[4096] = "";
    size_t length = 0;
    for (int option; (option = getopt_long(count, values, "", names, NULL)) != -1;) {
        if (option == 'p') {
            *(struct sockaddr_in *)&target = loopback(atoi(optarg));
            target_size = sizeof(struct sockaddr_in);
        } else if (option == 'u') {
            target.ss_family = AF_UNIX;
            strncpy(((struct sockaddr_un *)&target)->sun_path, optarg, 107);
            target_size = sizeof(struct sockaddr_un);
        } else if (option == 'a') path = optarg;
        else if (option == 'b') body = read_file(optarg, &length);
        else if (option == 't') text = read_file(optarg, &text_length), with_text = 1;
        else if (option == 's') streams = 1;
        else if (option == 'c') concurrency = atoi(optarg);
        else if (option == 'r') wanted = atoll(optarg);
        else if (option == 'm') ramp_us = atoll(optarg) * 1000;
        else if (option == 'h') {
            if (strlen(headers) + strlen(optarg) + 3 > sizeof headers) DIE("load: too many headers");
            strcat(strcat(headers, optarg), "\r\n");
        } else DIE("load: see the head of load.c");
    }
    if (!body || !target_size || wanted < 1 || concurrency < 1) DIE("load: --port or --unix, and --body, are needed");
    if (concurrency > wanted) concurrency = (int)wanted;
    make_request(path, headers, body, length);
}

int main(int count, char **values) {
    raise_file_limit();
    read_options(count, values);
    firsts = checked(calloc((size_t)wanted + 1, sizeof *firsts));
    totals = checked(calloc((size_t)wanted + 1, sizeof *totals));
    Connection *connections = checked(calloc((size_t)concurrency, sizeof *connections));
    char *buffer = checked(malloc(BUFFER));
    epoll = epoll_create1(0);
    for (int number = 0; number < concurrency; number++) open_connection(&connections[number]);

    int64_t begin = now_us(), cpu = cpu_us(), quiet = begin;
    int begun = 0;
    while (answered + wrong < wanted) {
        int64_t now = now_us();
        while (begun < concurrency && now - begin >= ramp_us * begun / concurrency) ask(&connections[begun++]);
        struct epoll_event ready[512];
        int many = epoll_wait(epoll, ready, 512, begun < concurrency ? 1 : 1000);
        if (many) quiet = now_us();
        else if (now_us() - quiet > 60000000) DIE("load: nothing came for a minute");
        for (int number = 0; number < many; number++) {
            Connection *connection = ready[number].data.ptr;
            ssize_t length = recv(connection->fd, buffer, BUFFER, 0);
            if (length > 0) bytes += length, on_data(connection, buffer, (size_t)length);
            else if (length == 0 || errno != EAGAIN) on_end(connection);
        }
    }
    int64_t wall = now_us() - begin;
    printf("{\"requests\":%lld,\"wrong\":%lld,\"complaint\":\"%s\",\"texts\":%lld,\"bytes\":%lld,\"wall_us\":%lld,\"cpu_us\":%lld,",
           (long long)answered, (long long)wrong, complaint, (long long)texts, (long long)bytes, (long long)wall, (long long)(cpu_us() - cpu));
    print_times("first", firsts);
    print_times("total", totals);
    printf("\"gap_us\":%lld}\n", (long long)gap_us);
    return wrong ? 1 : 0;
}
