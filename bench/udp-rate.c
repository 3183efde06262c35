/*
 * Measures what a path does with UDP datagrams; built by the bench with cc.
 *
 *   udp-rate sink PORT          counts datagrams.           stdin: RUN                      stdout: received
 *   udp-rate send IP PORT       sends at a steady rate.     stdin: RUN SIZE RATE WARM MS    stdout: sent µs
 *   udp-rate echo PORT          answers every datagram.
 *   udp-rate ping IP PORT       round trips, one flow.      stdin: SIZE COUNT INTERVAL      stdout: received p50 p99 p99.9
 *
 * It prints "ready" once it is. Each line of standard input is one measurement, answered by one line.
 *
 * send: RATE datagrams a second of SIZE bytes, for WARM ms that do not count, which fill the queues on the way, and then
 * MS ms that do. They leave in small groups every 100 µs, one system call a group. If the sender cannot keep up, what is
 * overdue by more than 2 ms is left out rather than sent in one burst: "sent" says what was offered.
 *
 * sink: says how many of the run's counting datagrams came, when none has come for 30 ms.
 *
 * ping: COUNT datagrams, one every INTERVAL µs whether answered or not. Percentiles are of all that were sent, in µs; a lost
 * datagram is slower than any other, "inf".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GROUP = 64, LARGEST = 9000, QUIET_MS = 30, TICK_NS = 100000, LATE_NS = 2000000 };

/* 4 MB: the sink may sleep for a moment, but no more than a moment's datagrams can hide in its queue. */
enum { RECEIVE_BUFFER = 4 << 20 };

struct head {
  uint32_t run;
  uint32_t counts;
  uint64_t sequence;
};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sleep_until(int64_t ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
  }
}

static int udp_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0) fail("socket");
  int size = RECEIVE_BUFFER;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) fail("SO_RCVBUFFORCE");
  return fd;
}

static struct sockaddr_in address(const char *ip, const char *port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
  if (inet_pton(AF_INET, ip, &a.sin_addr) != 1) {
    fprintf(stderr, "not an IPv4 address: %s\n", ip);
    exit(1);
  }
  return a;
}

static int bound(const char *port) {
  int fd = udp_socket();
  struct sockaddr_in a = address("0.0.0.0", port);
  if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) fail("bind");
  return fd;
}

static int connected(const char *ip, const char *port) {
  int fd = udp_socket();
  struct sockaddr_in a = address(ip, port);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) fail("connect");
  return fd;
}

/* The same small program for every datagram of a group. */
struct group {
  struct mmsghdr messages[GROUP];
  struct iovec pieces[GROUP];
  char bytes[GROUP][LARGEST];
};

static void prepare(struct group *g, size_t size) {
  memset(g->messages, 0, sizeof g->messages);
  for (int i = 0; i < GROUP; i++) {
    g->pieces[i] = (struct iovec){g->bytes[i], size};
    g->messages[i].msg_hdr.msg_iov = &g->pieces[i];
    g->messages[i].msg_hdr.msg_iovlen = 1;
  }
}

/* ---- sink ---- */

static _Atomic uint32_t current_run;
static _Atomic uint64_t received;

static void *count_datagrams(void *socket) {
  static struct group g;
  prepare(&g, LARGEST);
  for (;;) {
    int n = recvmmsg(*(int *)socket, g.messages, GROUP, MSG_WAITFORONE, NULL);
    if (n < 0) {
      if (errno == EINTR || errno == ECONNREFUSED) continue;
      fail("recvmmsg");
    }
    uint64_t counting = 0;
    for (int i = 0; i < n; i++) {
      struct head head;
      if (g.messages[i].msg_len < sizeof head) continue;
      memcpy(&head, g.bytes[i], sizeof head);
      if (head.run > current_run) {
        received = 0;
        counting = 0;
        current_run = head.run;
      }
      if (head.run == current_run && head.counts) counting++;
    }
    received += counting;
  }
  return NULL;
}

static int sink(const char *port) {
  int fd = bound(port);
  pthread_t thread;
  if (pthread_create(&thread, NULL, count_datagrams, &fd) != 0) fail("pthread_create");
  puts("ready");
  uint32_t run;
  while (scanf("%u", &run) == 1) {
    uint64_t before;
    do {
      before = received;
      usleep(QUIET_MS * 1000);
    } while (received != before);
    printf("%llu\n", current_run == run ? (unsigned long long)received : 0ULL);
  }
  return 0;
}

/* ---- send ---- */

static struct group outgoing;

/* Sends `count` datagrams, at most GROUP; gives how many the kernel took. */
static int send_group(int fd, struct head *head, int count) {
  for (int i = 0; i < count; i++) {
    head->sequence++;
    memcpy(outgoing.bytes[i], head, sizeof *head);
  }
  int done = 0;
  while (done < count) {
    int n = sendmmsg(fd, outgoing.messages + done, count - done, 0);
    if (n > 0) {
      done += n;
    } else if (errno == ENOBUFS || errno == EAGAIN || errno == ECONNREFUSED) {
      done++; /* offered, and refused by the path: lost */
    } else if (errno != EINTR) {
      fail("sendmmsg");
    }
  }
  return done;
}

/* Offers `rate` datagrams a second until `end`; gives how many. */
static uint64_t offer(int fd, struct head *head, double rate, int64_t start, int64_t end) {
  uint64_t sent = 0;
  int64_t origin = start;
  double before = 0;
  int64_t tick = start;
  for (int64_t now = now_ns(); now < end; now = now_ns()) {
    double due = (now - origin) * 1e-9 * rate - before;
    if (due > LATE_NS * 1e-9 * rate + GROUP) {
      origin = now;
      before = 0;
      due = GROUP;
    }
    if (due >= 1) {
      int n = send_group(fd, head, due < GROUP ? (int)due : GROUP);
      sent += n;
      before += n;
      if (due >= GROUP) continue;
    }
    tick = tick + TICK_NS > now ? tick + TICK_NS : now + TICK_NS;
    sleep_until(tick < end ? tick : end);
  }
  return sent;
}

static int send_at_rate(const char *ip, const char *port) {
  int fd = connected(ip, port);
  prctl(PR_SET_TIMERSLACK, 1);
  puts("ready");
  unsigned run, size, warm, ms;
  double rate;
  while (scanf("%u %u %lf %u %u", &run, &size, &rate, &warm, &ms) == 5) {
    if (size < sizeof(struct head) || size > LARGEST) {
      fprintf(stderr, "a datagram has %zu to %d bytes, not %u\n", sizeof(struct head), LARGEST, size);
      return 1;
    }
    prepare(&outgoing, size);
    struct head head = {run, 0, 0};
    int64_t start = now_ns();
    offer(fd, &head, rate, start, start + warm * 1000000LL);
    head.counts = 1;
    int64_t counting = now_ns();
    uint64_t sent = offer(fd, &head, rate, counting, counting + ms * 1000000LL);
    printf("%llu %lld\n", (unsigned long long)sent, (long long)(now_ns() - counting) / 1000);
  }
  return 0;
}

/* ---- echo and ping ---- */

static int echo(const char *port) {
  int fd = bound(port);
  puts("ready");
  static char bytes[LARGEST];
  for (;;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
    if (n >= 0) sendto(fd, bytes, n, 0, (struct sockaddr *)&from, length);
  }
  return 0;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile(const double *sorted, size_t count, double percent) {
  size_t rank = (size_t)ceil(percent / 100 * count);
  return sorted[rank > 0 ? rank - 1 : 0];
}

/* Takes answers until `until`. */
static size_t take_answers(int fd, uint32_t run, double *times, const int64_t *sent, uint64_t count, int64_t until) {
  static char bytes[LARGEST];
  size_t taken = 0;
  for (;;) {
    int64_t left = until - now_ns();
    struct timespec wait = {left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
    struct pollfd p = {fd, POLLIN, 0};
    int ready = ppoll(&p, 1, &wait, NULL);
    if (ready <= 0) {
      if (left <= 0 || ready == 0) return taken;
      continue;
    }
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    int64_t now = now_ns();
    struct head head;
    if (n < (ssize_t)sizeof head) continue;
    memcpy(&head, bytes, sizeof head);
    if (head.run != run || head.sequence >= count || !isinf(times[head.sequence])) continue;
    times[head.sequence] = (now - sent[head.sequence]) / 1000.0;
    taken++;
  }
}

static int ping(const char *ip, const char *port) {
  int fd = connected(ip, port);
  prctl(PR_SET_TIMERSLACK, 1);
  puts("ready");
  unsigned size, interval;
  unsigned long count;
  for (uint32_t run = 1; scanf("%u %lu %u", &size, &count, &interval) == 3; run++) {
    if (size < sizeof(struct head) || size > LARGEST || count < 1) {
      fprintf(stderr, "not a measurement: %u %lu %u\n", size, count, interval);
      return 1;
    }
    static char bytes[LARGEST];
    double *times = malloc(count * sizeof *times);
    int64_t *sent = malloc(count * sizeof *sent);
    if (times == NULL || sent == NULL) fail("malloc");
    size_t answered = 0;
    int64_t start = now_ns();
    for (unsigned long i = 0; i < count; i++) {
      times[i] = INFINITY;
      struct head head = {run, 1, i};
      memcpy(bytes, &head, sizeof head);
      sent[i] = now_ns();
      send(fd, bytes, size, MSG_DONTWAIT);
      answered += take_answers(fd, run, times, sent, i + 1, start + (int64_t)(i + 1) * interval * 1000);
    }
    answered += take_answers(fd, run, times, sent, count, now_ns() + 500000000LL);
    qsort(times, count, sizeof *times, compare);
    printf("%zu %.1f %.1f %.1f\n", answered, percentile(times, count, 50), percentile(times, count, 99),
           percentile(times, count, 99.9));
    free(times);
    free(sent);
  }
  return 0;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 3 && strcmp(argv[1], "sink") == 0) return sink(argv[2]);
  if (argc == 4 && strcmp(argv[1], "send") == 0) return send_at_rate(argv[2], argv[3]);
  if (argc == 3 && strcmp(argv[1], "echo") == 0) return echo(argv[2]);
  if (argc == 4 && strcmp(argv[1], "ping") == 0) return ping(argv[2], argv[3]);
  fprintf(stderr, "usage: udp-rate sink PORT | send IP PORT | echo PORT | ping IP PORT\n");
  return 2;
}
