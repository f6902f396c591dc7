#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>

#include <rte_mbuf_pool_ops.h>

_Static_assert(SHIM_HEADROOM == RTE_PKTMBUF_HEADROOM, "shim.h repeats DPDK's headroom");
_Static_assert(SHIM_RX_IPV4_CHECKSUM_BIT == RTE_ETH_RX_OFFLOAD_IPV4_CKSUM &&
		       SHIM_RX_TCP_CHECKSUM_BIT == RTE_ETH_RX_OFFLOAD_TCP_CKSUM,
	       "shim.h repeats DPDK's receive offload bits");
_Static_assert(SHIM_TX_IPV4_CHECKSUM_BIT == RTE_ETH_TX_OFFLOAD_IPV4_CKSUM &&
		       SHIM_TX_TCP_CHECKSUM_BIT == RTE_ETH_TX_OFFLOAD_TCP_CKSUM &&
		       SHIM_TX_TCP_SEGMENTATION_BIT == RTE_ETH_TX_OFFLOAD_TCP_TSO,
	       "shim.h repeats DPDK's transmit offload bits");
_Static_assert(SHIM_TX_FAST_FREE_BIT == RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE,
	       "shim.h repeats DPDK's fast-free bit");
_Static_assert(SHIM_RSS_TCP_IPV4_BIT == RTE_ETH_RSS_NONFRAG_IPV4_TCP,
	       "shim.h repeats DPDK's RSS bit");

static uint32_t checksums(uint64_t ol_flags)
{
	const uint64_t ip = ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
	const uint64_t l4 = ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	if (ip == RTE_MBUF_F_RX_IP_CKSUM_BAD || l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
		return SHIM_CHECKSUMS_BAD;
	/* Whatever is unknown is for software to look at. */
	if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		return ip == RTE_MBUF_F_RX_IP_CKSUM_GOOD ? SHIM_CHECKSUMS_GOOD
							: SHIM_CHECKSUMS_TCP_GOOD;
	if (l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE)
		return SHIM_CHECKSUMS_TCP_NONE;
	return SHIM_CHECKSUMS_UNKNOWN;
}

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct shim_rx *out, uint16_t max,
		       uint64_t *multi_segment)
{
	struct rte_mbuf *mbufs[SHIM_RX_BURST];
	uint16_t taken = 0;

	const uint16_t count =
		rte_eth_rx_burst(port, queue, mbufs, RTE_MIN(max, (uint16_t)SHIM_RX_BURST));
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *mbuf = mbufs[i];

		rte_prefetch0(rte_pktmbuf_mtod(mbuf, void *));
		if (unlikely(mbuf->nb_segs != 1)) {
			rte_pktmbuf_free(mbuf);
			*multi_segment += 1;
			continue;
		}
		out[taken].mbuf = mbuf;
		out[taken].data = rte_pktmbuf_mtod(mbuf, uint8_t *);
		out[taken].len = mbuf->data_len;
		out[taken].checksums = checksums(mbuf->ol_flags);
		taken++;
	}
	return taken;
}

static void prepare(struct rte_mbuf *mbuf, const struct shim_tx *frame)
{
	mbuf->data_len = frame->len;
	mbuf->pkt_len = frame->len;
	if (frame->l3_len == 0)
		return;
	mbuf->l2_len = frame->l2_len;
	mbuf->l3_len = frame->l3_len;
	mbuf->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
	if (frame->ip_checksum != 0)
		mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (frame->segment_size != 0) {
		mbuf->l4_len = frame->l4_len;
		mbuf->tso_segsz = frame->segment_size;
		mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	}
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, const struct shim_tx *frames, uint16_t count,
		       uint64_t *refused)
{
	struct rte_mbuf *mbufs[SHIM_TX_BURST];
	uint16_t done = 0;

	count = RTE_MIN(count, (uint16_t)SHIM_TX_BURST);
	while (done < count) {
		uint16_t ready = 0;

		for (; done + ready < count; ready++) {
			struct rte_mbuf *mbuf = frames[done + ready].mbuf;

			prepare(mbuf, &frames[done + ready]);
			mbufs[ready] = mbuf;
			/* Puts the pseudo-header sum in the form that the driver wants. */
			if (unlikely(frames[done + ready].segment_size != 0) &&
			    rte_eth_tx_prepare(port, queue, &mbufs[ready], 1) != 1)
				break;
		}
		const uint16_t sent = ready == 0 ? 0 : rte_eth_tx_burst(port, queue, mbufs, ready);

		done += sent;
		if (sent < ready || done == count)
			break;
		rte_pktmbuf_free_seg(frames[done].mbuf);
		*refused += 1;
		done++;
	}
	return done;
}

/* rte_pktmbuf_pool_create() with a choice of mempool flags. */
struct rte_mempool *shim_pool_create(const struct shim_pool_conf *conf, uint32_t *chunks)
{
	struct rte_pktmbuf_pool_private priv = { .mbuf_data_room_size = conf->data_room };
	struct rte_mempool *pool = rte_mempool_create_empty(
		conf->name, conf->mbufs, sizeof(struct rte_mbuf) + conf->data_room, conf->cache,
		sizeof(priv), conf->socket, conf->dense ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
	int result;

	if (pool == NULL)
		return NULL;
	result = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (result == 0) {
		rte_pktmbuf_pool_init(pool, &priv);
		result = rte_mempool_populate_default(pool);
	}
	if (result < 0) {
		rte_mempool_free(pool);
		rte_errno = -result;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	*chunks = pool->nb_mem_chunks;
	return pool;
}

uint16_t shim_alloc_bulk(struct rte_mempool *pool, struct shim_tx_buffer *out, uint16_t count)
{
	struct rte_mbuf *mbufs[SHIM_TX_BURST];

	count = RTE_MIN(count, (uint16_t)SHIM_TX_BURST);
	if (rte_pktmbuf_alloc_bulk(pool, mbufs, count) != 0)
		return 0;
	for (uint16_t i = 0; i < count; i++) {
		out[i].mbuf = mbufs[i];
		out[i].data = rte_pktmbuf_mtod(mbufs[i], uint8_t *);
		out[i].capacity = rte_pktmbuf_tailroom(mbufs[i]);
	}
	return count;
}

void shim_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free_seg(mbuf); /* of one segment: shim_rx_burst drops the others */
}

int shim_log_to(ssize_t (*write)(void *cookie, const char *text, size_t len))
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = write });

	if (stream == NULL)
		return -errno;
	return rte_openlog_stream(stream);
}

/* enum libbpf_print_level and enum libxdp_print_level: warnings are 0, debugging is 2. */
static int print_xdp(int level, const char *format, va_list arguments)
{
	if (level >= 2)
		return 0;
	return rte_vlog(level == 0 ? RTE_LOG_WARNING : RTE_LOG_INFO, RTE_LOGTYPE_PMD, format,
			arguments);
}

static void redirect(const char *library, const char *setter)
{
	typedef int (*print_t)(int level, const char *format, va_list arguments);
	void *const handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
	print_t (*set)(print_t print);

	if (handle == NULL)
		return;
	*(void **)&set = dlsym(handle, setter);
	if (set != NULL)
		set(print_xdp);
	dlclose(handle);
}

void shim_log_xdp(void)
{
	redirect("libbpf.so.1", "libbpf_set_print");
	redirect("libxdp.so.1", "libxdp_set_print");
}

int shim_errno(void)
{
	return rte_errno;
}

int shim_port_info(uint16_t port, struct shim_port_info *out)
{
	struct rte_eth_dev_info info;
	const int result = rte_eth_dev_info_get(port, &info);

	if (result != 0)
		return result;
	*out = (struct shim_port_info){
		.driver = info.driver_name,
		.rss_offloads = info.flow_type_rss_offloads,
		.rx_offloads = info.rx_offload_capa,
		.tx_offloads = info.tx_offload_capa,
		.rx_queues = info.max_rx_queues,
		.tx_queues = info.max_tx_queues,
		.frame_max = info.max_rx_pktlen,
		.mtu_max = info.max_mtu,
	};
	return 0;
}

int shim_port_configure(uint16_t port, const struct shim_port_conf *conf)
{
	const struct rte_eth_conf eth = {
		.rxmode = {
			.mq_mode = conf->rss != 0 ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE,
			.mtu = conf->mtu,
			.offloads = conf->rx_offloads,
		},
		.txmode = { .offloads = conf->tx_offloads },
		.rx_adv_conf.rss_conf.rss_hf = conf->rss,
	};

	return rte_eth_dev_configure(port, conf->queues, conf->queues, &eth);
}

int shim_port_link(uint16_t port, struct shim_link *out)
{
	struct rte_eth_link link;
	const int result = rte_eth_link_get_nowait(port, &link);

	if (result != 0)
		return result;
	*out = (struct shim_link){
		.mbit_per_second = link.link_speed,
		.up = link.link_status == RTE_ETH_LINK_UP,
	};
	return 0;
}
