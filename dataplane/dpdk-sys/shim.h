/* What Rust cannot call by itself: DPDK's static inlines, whole bursts at a time, and its macros.
 * This header is also what bindgen reads. Nothing here decides anything. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

/* Frames in one call of shim_rx_burst, at most. */
#define SHIM_RX_BURST 32
/* Frames in one call of shim_tx_burst, at most. */
#define SHIM_TX_BURST 64

enum shim_checksums {
	SHIM_CHECKSUMS_UNKNOWN = 0,
	SHIM_CHECKSUMS_GOOD = 1,
	SHIM_CHECKSUMS_BAD = 2,
	SHIM_CHECKSUMS_TCP_GOOD = 3, /* the IPv4 header was not looked at */
	SHIM_CHECKSUMS_TCP_NONE = 4, /* DPDK: not correct in the data, but its integrity is verified */
};

/* A received frame in one segment: what its reader needs of the mbuf. */
struct shim_rx {
	struct rte_mbuf *mbuf;
	uint8_t *data;
	uint32_t len;
	uint32_t checksums; /* enum shim_checksums */
};

/* An empty mbuf to be filled from data[0] on. */
struct shim_tx_buffer {
	struct rte_mbuf *mbuf;
	uint8_t *data;
	uint32_t capacity;
	uint32_t reserved;
};

/* A frame to send. l3_len == 0: no offload. segment_size != 0: the NIC cuts it into segments of so many
 * bytes of payload behind a TCP header of l4_len. */
struct shim_tx {
	struct rte_mbuf *mbuf;
	uint16_t len;
	uint8_t l2_len;
	uint8_t l3_len;
	uint16_t segment_size;
	uint8_t l4_len;
	uint8_t ip_checksum; /* not 0: the NIC fills in the IPv4 header checksum too */
};

/* What a port is and can do: the fields of rte_eth_dev_info in use, and its link. */
struct shim_port_info {
	const char *driver;
	uint64_t rss_offloads;
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint32_t frame_max; /* bytes of a frame, FCS included */
	uint16_t mtu_max; /* UINT16_MAX: see frame_max */
	uint16_t reserved;
};

/* How a port is to be configured: the fields of rte_eth_conf in use. */
struct shim_port_conf {
	uint64_t rss; /* 0: no receive side scaling */
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint16_t queues; /* receive queues, and as many transmit queues */
	uint16_t mtu;
	uint32_t reserved;
};

/* A pool of mbufs of one segment. */
struct shim_pool_conf {
	const char *name;
	uint32_t mbufs;
	uint32_t cache; /* mbufs each registered thread may keep at hand */
	uint32_t data_room; /* bytes, headroom included */
	int32_t socket;
	uint32_t dense; /* not 0: no gaps at page ends; not for devices that do DMA */
	uint32_t reserved;
};

struct shim_link {
	uint32_t mbit_per_second;
	uint32_t up;
};

_Static_assert(sizeof(struct shim_rx) == 24, "mirrored in src/lib.rs");
_Static_assert(sizeof(struct shim_tx_buffer) == 24, "mirrored in src/lib.rs");
_Static_assert(sizeof(struct shim_tx) == 16, "mirrored in src/lib.rs");
_Static_assert(sizeof(struct shim_pool_conf) == 32, "mirrored in src/lib.rs");
_Static_assert(sizeof(struct shim_port_info) == 48, "mirrored in src/lib.rs");
_Static_assert(sizeof(struct shim_port_conf) == 32, "mirrored in src/lib.rs");

/* For which DPDK has macros that bindgen cannot read; shim.c compares. */
#define SHIM_HEADROOM 128
#define SHIM_RX_IPV4_CHECKSUM_BIT 0x2ULL
#define SHIM_RX_TCP_CHECKSUM_BIT 0x8ULL
#define SHIM_TX_IPV4_CHECKSUM_BIT 0x2ULL
#define SHIM_TX_TCP_CHECKSUM_BIT 0x8ULL
#define SHIM_TX_TCP_SEGMENTATION_BIT 0x20ULL
#define SHIM_TX_FAST_FREE_BIT 0x10000ULL
#define SHIM_RSS_TCP_IPV4_BIT 0x10ULL

/* Takes up to max frames, oldest first, into out. Frames of several segments are freed and added to
 * *multi_segment. Returns how many were put in out. */
uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct shim_rx *out, uint16_t max,
		       uint64_t *multi_segment);

/* Sends frames in order; returns how many the ring took or the driver refused to segment: those are freed
 * and added to *refused. The others still belong to the caller. */
uint16_t shim_tx_burst(uint16_t port, uint16_t queue, const struct shim_tx *frames, uint16_t count,
		       uint64_t *refused);

/* Makes a pool; NULL and rte_errno on failure. *chunks is the number of pieces its memory is in. */
struct rte_mempool *shim_pool_create(const struct shim_pool_conf *conf, uint32_t *chunks);

/* Takes count mbufs from the pool, or none (returns 0). */
uint16_t shim_alloc_bulk(struct rte_mempool *pool, struct shim_tx_buffer *out, uint16_t count);

/* Gives an mbuf back to its pool. */
void shim_free(struct rte_mbuf *mbuf);

/* Makes write the receiver of DPDK's log. Returns 0 or a negative errno. */
int shim_log_to(ssize_t (*write)(void *cookie, const char *text, size_t len));

/* Sends what libbpf and libxdp print, which the AF_XDP driver brings along, to DPDK's log too. After
 * rte_eal_init; does nothing where they are not loaded. */
void shim_log_xdp(void);

/* rte_errno of the calling thread. */
int shim_errno(void);

/* The calls below return 0 or a negative errno, as those of rte_ethdev.h do. */
int shim_port_info(uint16_t port, struct shim_port_info *out);
int shim_port_configure(uint16_t port, const struct shim_port_conf *conf);
int shim_port_link(uint16_t port, struct shim_link *out);
