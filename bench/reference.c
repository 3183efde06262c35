/*
 * What the forwarder's design gives without JavaScript: the same system calls, batches and rules for bulk
 * traffic, in C. Built and run by the bench alone, between two hosts, for IPv4.
 *
 *   reference TUN OWN_IP PEER_IP OWN_SUBNET PEER_SUBNET VNI PORT      subnets are /24: 10.208.1.0
 *
 * TUN is a persistent device made with "multi_queue vnet_hdr". It prints "ready" once packets pass.
 *
 *   TUN -> wire   up to 64 super-packets a turn; each is cut by a template of its headers, whose sums
 *                 are taken once, and payload sums; frames of a flow go to one of eight send sockets,
 *                 as many to a sendmsg (UDP_SEGMENT) as it takes; the payload is never copied
 *   wire -> TUN   up to 64 datagrams a turn, joined by the kernel (UDP_GRO); checksums are verified and
 *                 segments of a flow put together again, one writev each; nothing is held between turns
 *
 * One thread that sleeps in poll(2) and never spins. Left out: IPv6, ICMP and path MTU, fragmentation, ECN,
 * maps that change, counters.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	TURN_PACKETS = 64, TURN_BYTES = 256 * 1024, LANES = 8, RUNS = 16,
	MAX_SEGMENTS = 64, MAX_DATAGRAM = 65507, MAX_COALESCED = 65000, MAX_PACKET = 65536,
	VNET = 10, ENCAP = 22, ETHERNET = 8, MAX_HEADERS = 144, ARENA = 1 << 20, SOCKET_BUFFER = 8 << 20,
	GSO_UDP_L4 = 5, TUN_F_USO = 0x60, /* newer than some headers */
	TCP = 6, UDP = 17, FIN = 1, PSH = 8, ACK = 16, CWR = 128,
};

static uint32_t own_net, peer_net; /* in network order, as the addresses that follow */
static struct sockaddr_in peer;
static uint8_t encapsulation[ENCAP], expected[ENCAP];
static int tun, receive_fd, send_fds[LANES];

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static uint16_t raw16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static uint32_t raw32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static void set_raw16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }

/* ---- Sums of 16-bit words in memory order (RFC 1071, section 2 B), unfolded ---- */

static uint64_t fold64(uint64_t s) { s = (s & 0xffffffff) + (s >> 32); return (s & 0xffffffff) + (s >> 32); }
static uint16_t fold(uint64_t s) {
	s = fold64(s), s = (s & 0xffff) + (s >> 16);
	return (uint16_t)((s & 0xffff) + (s >> 16));
}

/* Halves of 64-bit lanes added up apart: no carries to care for, 32 bytes at a time with AVX2. */
typedef uint64_t lanes __attribute__((vector_size(32), aligned(1), may_alias));
#ifdef __x86_64__
__attribute__((target_clones("avx2", "default")))
#endif
static uint64_t sum(const uint8_t *p, size_t n) {
	uint64_t s = 0;
	if (n >= 64) {
		lanes low = {0}, high = {0}, low2 = {0}, high2 = {0};
		const lanes half = low + 0xffffffff;
		for (; n >= 64; n -= 64, p += 64) {
			const lanes a = *(const lanes *)p, b = *(const lanes *)(p + 32);
			low += a & half, high += a >> 32, low2 += b & half, high2 += b >> 32;
		}
		low += low2 + high + high2;
		s = fold64(low[0]) + fold64(low[1]) + fold64(low[2]) + fold64(low[3]);
	}
	for (; n >= 4; n -= 4, p += 4) s += raw32(p);
	if (n >= 2) s += raw16(p), n -= 2, p += 2;
	return n ? s + htons((uint16_t)(*p << 8)) : s;
}

static uint64_t pseudo(const uint8_t *ip, size_t length) {
	return (uint64_t)raw32(ip + 12) + raw32(ip + 16) + htons(ip[9]) + htons((uint16_t)length);
}

/* ---- Containers to underlay ---- */

static struct batch { /* what one sendmsg takes: frames of one size, but a shorter last one */
	struct iovec pieces[2 * MAX_SEGMENTS];
	int count, segments;
	size_t bytes, size;
	bool closed;
} lane[LANES];
static uint8_t *arena, *arena_next;

static void send_batch(int index) {
	struct batch *b = &lane[index];
	if (!b->segments) return;
	union { struct cmsghdr head; char room[CMSG_SPACE(2)]; } control;
	struct msghdr m = { .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = b->pieces,
		.msg_iovlen = (size_t)b->count };
	if (b->segments > 1) {
		control.head = (struct cmsghdr){ .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(2) };
		memcpy(CMSG_DATA(&control.head), &(uint16_t){(uint16_t)b->size}, 2);
		m.msg_control = &control, m.msg_controllen = sizeof control;
	}
	(void)!sendmsg(send_fds[index], &m, MSG_DONTWAIT); /* what does not fit is lost */
	b->segments = b->count = 0, b->bytes = 0, b->closed = false;
}

static void flush_to_underlay(void) {
	for (int i = 0; i < LANES; i++) send_batch(i);
	arena_next = arena;
}

static void put_frame(int index, uint8_t *head, size_t head_length, uint8_t *rest, size_t rest_length) {
	struct batch *b = &lane[index];
	const size_t length = head_length + rest_length;
	const bool full = b->segments == MAX_SEGMENTS || b->bytes + length > MAX_DATAGRAM;
	if (b->segments && (b->closed || full || length > b->size)) send_batch(index);
	if (!b->segments) b->size = length;
	b->pieces[b->count++] = (struct iovec){ head, head_length };
	if (rest_length) b->pieces[b->count++] = (struct iovec){ rest, rest_length };
	b->segments++, b->bytes += length, b->closed = length < b->size;
}

static bool goes(const uint8_t *ip, uint32_t from, uint32_t to) {
	return (raw32(ip + 12) & htonl(0xffffff00)) == from && (raw32(ip + 16) & htonl(0xffffff00)) == to;
}

static int lane_of(const uint8_t *ip, const uint8_t *transport) {
	uint32_t h = (raw32(ip + 12) ^ 0x9e3779b9) * 0x85ebca6b;
	h = (h ^ h >> 15 ^ raw32(ip + 16)) * 0xc2b2ae35;
	h = (h ^ h >> 13 ^ raw32(transport)) * 0x27d4eb2f;
	return (int)((h ^ h >> 16) % LANES);
}

/* Cuts a super-packet. Headers of every segment differ in few fields: all others are summed once. */
static void split(const struct virtio_net_hdr *vnet, uint8_t *ip, size_t length, size_t ip_length, int index) {
	const bool is_tcp = ip[9] == TCP;
	uint8_t *transport = ip + ip_length;
	const size_t head = ip_length + (is_tcp ? (size_t)(transport[12] >> 4) * 4 : 8), size = vnet->gso_size;
	if ((is_tcp && head < ip_length + 20) || head > length || head > MAX_HEADERS - ENCAP || !size) return;
	const uint32_t first_seq = is_tcp ? ntohl(raw32(transport + 4)) : 0;
	const uint16_t first_id = get16(ip + 4);
	const uint8_t flags = is_tcp ? transport[13] : 0;
	const size_t check = ip_length + (is_tcp ? 16 : 6);

	uint8_t template[MAX_HEADERS];
	uint8_t *t = template + ENCAP, *tt = t + ip_length;
	memcpy(template, encapsulation, ENCAP), memcpy(t, ip, head);
	memset(t + 2, 0, 4), memset(t + 10, 0, 2), memset(t + check, 0, 2); /* total length, ID, checksums */
	memset(tt + 4, 0, is_tcp ? 4 : 2); /* sequence number or length */
	if (is_tcp) tt[13] = 0;
	const uint64_t ip_sum = sum(t, ip_length), transport_sum = pseudo(t, 0) + sum(tt, head - ip_length);

	for (size_t at = head, i = 0; at < length; at += size, i++) {
		const size_t payload = length - at < size ? length - at : size, l4 = head - ip_length + payload;
		if (arena_next + MAX_HEADERS > arena + ARENA) flush_to_underlay();
		uint8_t *frame = arena_next, *h = frame + ENCAP, *th = h + ip_length;
		arena_next += MAX_HEADERS;
		memcpy(frame, template, ENCAP + head);
		put16(h + 2, (unsigned)(head + payload)), put16(h + 4, first_id + (unsigned)i);
		set_raw16(h + 10, (uint16_t)~fold(ip_sum + raw16(h + 2) + raw16(h + 4)));
		uint64_t s = transport_sum + htons((uint16_t)l4) + sum(ip + at, payload);
		if (is_tcp) {
			const uint32_t seq = htonl(first_seq + (uint32_t)(at - head));
			memcpy(th + 4, &seq, 4);
			th[13] = flags & (uint8_t)~((at + payload < length ? FIN | PSH : 0) | (i ? CWR : 0));
			s += (uint64_t)seq + htons(th[13]);
		} else put16(th + 4, (unsigned)l4), s += raw16(th + 4);
		const uint16_t c = (uint16_t)~fold(s);
		set_raw16(h + check, c || is_tcp ? c : 0xffff);
		put_frame(index, frame, ENCAP + head, ip + at, payload);
	}
}

static void from_containers(uint8_t *buffer, size_t length) {
	struct virtio_net_hdr vnet;
	uint8_t *ip = buffer + VNET;
	if (length < VNET + 20 || ip[0] >> 4 != 4) return;
	memcpy(&vnet, buffer, VNET), length -= VNET;
	const size_t ip_length = (size_t)(ip[0] & 15) * 4;
	if (ip_length < 20 || get16(ip + 2) != length || ip_length + 8 > length || !goes(ip, own_net, peer_net)) return;
	const bool fragment = (get16(ip + 6) & 0x3fff) != 0;
	const int index = lane_of(ip, fragment ? ip + 12 : ip + ip_length);
	if (vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		if (vnet.gso_type == (ip[9] == TCP ? VIRTIO_NET_HDR_GSO_TCPV4 : ip[9] == UDP ? GSO_UDP_L4 : 0))
			split(&vnet, ip, length, ip_length, index);
		return;
	}
	if (vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (vnet.csum_start + vnet.csum_offset + 2u > length) return;
		const uint16_t c = (uint16_t)~fold(sum(ip + vnet.csum_start, length - vnet.csum_start));
		set_raw16(ip + vnet.csum_start + vnet.csum_offset, c || ip[9] != UDP ? c : 0xffff);
	}
	memcpy(ip - ENCAP, encapsulation, ENCAP); /* over the vnet header and the room before it */
	put_frame(index, ip - ENCAP, ENCAP + length, NULL, 0);
}

/* ---- Underlay to containers ---- */

static struct run { /* segments of one flow that will be one packet */
	struct iovec pieces[MAX_SEGMENTS];
	uint8_t *ip, psh;
	size_t head, size, payload;
	uint32_t next_seq;
	int segments;
	bool closed;
} runs[RUNS], *latest = runs;
static unsigned oldest;

static void write_run(struct run *r) {
	if (!r->segments) return;
	uint8_t *ip = r->ip, *transport = ip + 20;
	struct virtio_net_hdr vnet = {0};
	if (r->segments > 1) {
		const bool is_tcp = ip[9] == TCP;
		const size_t length = r->head + r->payload;
		put16(ip + 2, (unsigned)length), set_raw16(ip + 10, 0);
		set_raw16(ip + 10, (uint16_t)~fold(sum(ip, 20)));
		if (is_tcp) transport[13] |= r->psh; else put16(transport + 4, (unsigned)(length - 20));
		set_raw16(transport + (is_tcp ? 16 : 6), fold(pseudo(ip, length - 20)));
		vnet = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = is_tcp ? VIRTIO_NET_HDR_GSO_TCPV4 : GSO_UDP_L4, .hdr_len = (uint16_t)r->head,
			.gso_size = (uint16_t)r->size, .csum_start = 20, .csum_offset = is_tcp ? 16 : 6 };
	}
	memcpy(ip - VNET, &vnet, VNET);
	r->pieces[0] = (struct iovec){ ip - VNET, r->pieces[0].iov_len + VNET };
	(void)!writev(tun, r->pieces, r->segments);
	r->segments = 0;
}

static void flush_to_containers(void) { for (int i = 0; i < RUNS; i++) write_run(&runs[i]); }

static void write_single(uint8_t *ip, size_t length) {
	memset(ip - VNET, 0, VNET);
	(void)!write(tun, ip - VNET, VNET + length);
}

static bool of_flow(const struct run *r, const uint8_t *ip, size_t ip_length) {
	return r->segments && r->ip[9] == ip[9] && !memcmp(r->ip + 12, ip + 12, 8) && !memcmp(r->ip + 20, ip + ip_length, 4);
}

static bool takes(const struct run *r, const uint8_t *ip, size_t head, size_t payload) {
	const uint8_t *a = r->ip, *b = ip;
	if (r->closed || head != r->head || payload > r->size || r->segments == MAX_SEGMENTS ||
			r->head + r->payload + payload > MAX_COALESCED)
		return false;
	if (a[1] != b[1] || a[8] != b[8] || (a[6] & 0xc0) != (b[6] & 0xc0)) return false; /* TOS, TTL, DF */
	if (b[9] == UDP) return true;
	/* The acknowledgement, window and options are equal, and the next byte is the next. */
	return ntohl(raw32(b + 24)) == r->next_seq && !memcmp(a + 28, b + 28, 5) && !memcmp(a + 34, b + 34, 2) &&
		!memcmp(a + 40, b + 40, head - 40);
}

static void coalesce(uint8_t *ip, size_t length, size_t ip_length) {
	const uint8_t protocol = ip[9], *transport = ip + ip_length;
	if ((protocol != TCP && protocol != UDP) || get16(ip + 6) & 0x3fff) {
		flush_to_containers(), write_single(ip, length);
		return;
	}
	struct run *r = of_flow(latest, ip, ip_length) ? latest : NULL;
	for (int i = 0; i < RUNS && !r; i++) if (of_flow(&runs[i], ip, ip_length)) r = &runs[i];
	const size_t head = ip_length + (protocol == TCP ? (size_t)(transport[12] >> 4) * 4 : 8);
	const uint8_t flags = protocol == TCP ? transport[13] : ACK;
	if (ip_length != 20 || head >= length || (flags & (uint8_t)~PSH) != ACK || (protocol == UDP && !raw16(transport + 6))) {
		if (r) write_run(r);
		write_single(ip, length);
		return;
	}
	const size_t payload = length - head;
	if (!r || !takes(r, ip, head, payload)) {
		if (r) write_run(r);
		for (int i = 0; i < RUNS && !r; i++) if (!runs[i].segments) r = &runs[i];
		if (!r) write_run(r = &runs[oldest++ % RUNS]);
		r->ip = ip, r->head = head, r->size = payload, r->payload = 0, r->psh = 0;
		r->pieces[0] = (struct iovec){ ip, length };
	} else {
		r->pieces[r->segments] = (struct iovec){ ip + head, payload };
	}
	r->segments++, r->payload += payload, r->psh |= flags & PSH;
	r->closed = (flags & PSH) || payload < r->size;
	r->next_seq = ntohl(raw32(transport + 4)) + (uint32_t)payload;
	latest = r;
}

static void from_underlay(uint8_t *frame, size_t length) {
	uint8_t *ip = frame + ENCAP;
	if (length < ENCAP + 28 || memcmp(frame, expected, ENCAP)) return;
	length -= ENCAP;
	const size_t ip_length = (size_t)(ip[0] & 15) * 4;
	if (ip[0] >> 4 != 4 || ip_length < 20 || ip_length + 8 > length || get16(ip + 2) != length) return;
	if (fold(sum(ip, ip_length)) != 0xffff || !goes(ip, peer_net, own_net)) return;
	const uint8_t *transport = ip + ip_length;
	const bool whole = !(get16(ip + 6) & 0x3fff), is_tcp = ip[9] == TCP;
	if (whole && is_tcp && (length < ip_length + 20 || transport[12] < 0x50)) return;
	const bool summed = whole && (is_tcp || (ip[9] == UDP && raw16(transport + 6)));
	if (summed && fold(pseudo(ip, length - ip_length) + sum(transport, length - ip_length)) != 0xffff) return;
	coalesce(ip, length, ip_length);
}

/* One recvmsg, and the datagrams that the kernel joined in it, one by one. */
static ssize_t receive(uint8_t *at) {
	struct sockaddr_in from;
	union { struct cmsghdr head; char room[256]; } control;
	struct iovec piece = { at, MAX_PACKET };
	struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &piece, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof control };
	const ssize_t got = recvmsg(receive_fd, &m, MSG_DONTWAIT);
	if (got < 0 || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || from.sin_addr.s_addr != peer.sin_addr.s_addr) return got;
	size_t length = (size_t)got, size = length;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		int joined = 0;
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) memcpy(&joined, CMSG_DATA(c), 4);
		if (joined > 0) size = (size_t)joined;
	}
	for (size_t i = 0; i < length; i += size) from_underlay(at + i, length - i < size ? length - i : size);
	return got;
}

/* ---- The loop ---- */

static void die(const char *what) { perror(what), exit(1); }
static int udp_socket(const struct sockaddr_in *address, int buffer) {
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), size = SOCKET_BUFFER;
	if (fd < 0) die("socket");
	setsockopt(fd, SOL_SOCKET, buffer, &size, sizeof size);
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &(int){IP_PMTUDISC_DO}, sizeof(int));
	if (bind(fd, (const struct sockaddr *)address, sizeof *address)) die("bind");
	return fd;
}

static int open_tun(const char *name) {
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETVNETHDRSZ, &(int){VNET})) die(name);
	const unsigned long uso = TUN_F_USO, tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	if (ioctl(fd, TUNSETOFFLOAD, tso | uso) && ioctl(fd, TUNSETOFFLOAD, tso)) die("TUNSETOFFLOAD");
	return fd;
}

static ssize_t read_tun(uint8_t *at) {
	const ssize_t got = read(tun, at + ENCAP - VNET, VNET + MAX_PACKET);
	if (got >= 0) from_containers(at + ENCAP - VNET, (size_t)got);
	return got;
}

/* Up to 64 packets; one alone, as it was the last time, goes out before a second read finds nothing. */
static int turn(uint8_t *memory, int last, ssize_t (*take)(uint8_t *at), void (*flush)(void)) {
	size_t used = 0;
	int packets = 0;
	for (; packets < TURN_PACKETS && used < TURN_BYTES; packets++) {
		const ssize_t got = take(memory + used);
		if (got < 0) break;
		used += (ENCAP + (size_t)got + 15) & ~(size_t)15;
		if (!packets && last == 1) flush();
	}
	flush();
	return packets;
}

int main(int argc, char **argv) {
	if (argc != 8) return fputs("usage: reference TUN OWN_IP PEER_IP OWN_SUBNET PEER_SUBNET VNI PORT\n", stderr), 2;
	const uint32_t vni = (uint32_t)atoi(argv[6]);
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[2]) };
	own_net = inet_addr(argv[4]), peer_net = inet_addr(argv[5]);
	peer = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(argv[3]),
		.sin_port = htons((uint16_t)atoi(argv[7])) };
	/* A MAC is 02:00 and the underlay's address. */
	const uint8_t high = (uint8_t)(vni >> 16), middle = (uint8_t)(vni >> 8), low = (uint8_t)vni;
	const uint8_t header[ENCAP] = { [0] = 8, [4] = high, [5] = middle, [6] = low, [8] = 2, [14] = 2, [20] = 8 };
	memcpy(encapsulation, header, ENCAP), memcpy(expected, header, ENCAP);
	memcpy(encapsulation + ETHERNET + 2, &peer.sin_addr, 4), memcpy(encapsulation + ETHERNET + 8, &own.sin_addr, 4);
	memcpy(expected + ETHERNET + 2, &own.sin_addr, 4), memcpy(expected + ETHERNET + 8, &peer.sin_addr, 4);

	for (int i = 0; i < LANES; i++) send_fds[i] = udp_socket(&own, SO_SNDBUFFORCE);
	own.sin_port = peer.sin_port;
	receive_fd = udp_socket(&own, SO_RCVBUFFORCE);
	setsockopt(receive_fd, SOL_UDP, UDP_GRO, &(int){1}, sizeof(int));
	tun = open_tun(argv[1]);
	const size_t room = TURN_BYTES + 2 * MAX_PACKET;
	/* Two bytes past a multiple of four: after the headers, IP is aligned. */
	uint8_t *const from_tun = (uint8_t *)malloc(room) + 2, *const from_socket = (uint8_t *)malloc(room) + 2;
	arena = arena_next = malloc(ARENA);
	puts("ready"), fflush(stdout);

	struct pollfd watched[2] = { { .fd = tun, .events = POLLIN }, { .fd = receive_fd, .events = POLLIN } };
	for (int last_out = 0, last_in = 0;;) {
		if (poll(watched, 2, -1) < 0 && errno != EINTR) die("poll");
		if (watched[0].revents) last_out = turn(from_tun, last_out, read_tun, flush_to_underlay);
		if (watched[1].revents) last_in = turn(from_socket, last_in, receive, flush_to_containers);
	}
}
