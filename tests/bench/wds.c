/* SPDX-License-Identifier: Apache-2.0 */
/* What a control plane's state costs: one push of WORKLOADS and SERVICES through the discovery client, then single changes.
 * Prints figures, and their ratio to what is promised. Run by `make bench-wds`. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/epoch.h"
#include "proto/ads.pb-c.h"
#include "proto/workload.pb-c.h"
#include "source/wds.h"

#define WORKLOADS 100000
#define SERVICES  10000
#define BIG       10000      /* endpoints of the largest service */
#define CHANGES   2000

/* --- a channel that ends here --- */

struct grpc_call {
	const struct grpc_call_ops *ops;
	void *arg;
};

static struct grpc_call call;
static size_t sent_bytes;

struct grpc_call *grpc_start(struct grpc *g, const char *path, const struct grpc_call_ops *ops, void *arg, unsigned deadline_ms)
{
	call = (struct grpc_call){ ops, arg };
	return &call;
}

void grpc_send(struct grpc_call *c, const void *p, size_t n)
{
	sent_bytes = n;
}

void grpc_cancel(struct grpc_call *c)
{
}

const char *grpc_code_name(enum grpc_code code)
{
	return "";
}

/* --- messages --- */

static void append(struct buf *b, unsigned field, const void *p, size_t n)
{
	uint8_t head[12];
	size_t k = 0;

	head[k++] = (uint8_t)(field << 3 | 2);
	for (size_t v = n;; v >>= 7) {
		head[k++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		if (v <= 0x7f)
			break;
	}
	buf_append(b, head, k);
	buf_append(b, p, n);
}

static void resource(struct buf *out, const char *name, const Wds__Address *a, unsigned version)
{
	Ads__Resource r = ADS__RESOURCE__INIT;
	Pb__Any any = PB__ANY__INIT;
	uint8_t value[2000], bytes[3000];
	char text[20];

	any.type_url = (char *)WDS_ADDRESS_URL;
	any.value.data = value;
	any.value.len = wds__address__pack(a, value);
	snprintf(text, sizeof(text), "%016x", version * 2654435761u);
	r.name = (char *)name;
	r.version = text;
	r.resource = &any;
	append(out, 2, bytes, ads__resource__pack(&r, bytes));
}

static void finish(struct buf *out, const char *nonce)
{
	append(out, 4, WDS_ADDRESS_URL, strlen(WDS_ADDRESS_URL));
	append(out, 5, nonce, strlen(nonce));
}

/* Pods as a cloud names them: ten to a Deployment, each in one service; the first BIG are in the big one as well. */
static void workload(struct buf *out, int i, unsigned version)
{
	Wds__Address a = WDS__ADDRESS__INIT;
	Wds__Workload w = WDS__WORKLOAD__INIT;
	Wds__Locality loc = WDS__LOCALITY__INIT;
	Wds__Port port = WDS__PORT__INIT, *ports = &port;
	Wds__PortList list = WDS__PORT_LIST__INIT;
	Wds__Workload__ServicePorts in[2] = { WDS__WORKLOAD__SERVICE_PORTS__INIT, WDS__WORKLOAD__SERVICE_PORTS__INIT };
	Wds__Workload__ServicePorts *ins[] = { &in[0], &in[1] };
	uint8_t at[4] = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
	ProtobufCBinaryData ip = { 4, at };
	char name[60], ns[24], uid[120], node[80], app[30], host[100], zone[20], revision[10];

	snprintf(ns, sizeof(ns), "namespace-%d", i / 10 % 100);
	snprintf(app, sizeof(app), "service-%d", i / 10);
	snprintf(name, sizeof(name), "%s-6d4cf56db6-x%05d", app, i);
	snprintf(uid, sizeof(uid), "Kubernetes//Pod/%s/%s", ns, name);
	snprintf(node, sizeof(node), "ip-10-0-%d-%d.eu-west-1.compute.internal", i % 1000 / 256, i % 1000 % 256);
	snprintf(zone, sizeof(zone), "eu-west-1%c", 'a' + i % 3);
	snprintf(host, sizeof(host), "%s/%s.%s.svc.cluster.local", ns, app, ns);
	snprintf(revision, sizeof(revision), "v%d", version > 1 ? 2 : 1);
	w.uid = uid;
	w.name = name;
	w.namespace_ = ns;
	w.addresses = &ip;
	w.n_addresses = 1;
	w.tunnel_protocol = WDS__TUNNEL_PROTOCOL__HBONE;
	w.service_account = app;
	w.node = node;
	w.canonical_name = app;
	w.canonical_revision = revision;
	w.workload_name = app;
	w.cluster_id = (char *)"Kubernetes";
	loc.region = (char *)"eu-west-1";
	loc.zone = zone;
	w.locality = &loc;
	port.service_port = 80;
	port.target_port = 8080;
	list.ports = &ports;
	list.n_ports = 1;
	in[0].key = host;
	in[0].value = in[1].value = &list;
	in[1].key = (char *)"big/big.big.svc.cluster.local";
	w.services = ins;
	w.n_services = i < BIG ? 2 : 1;
	a.type_case = WDS__ADDRESS__TYPE_WORKLOAD;
	a.workload = &w;
	resource(out, uid, &a, version + (unsigned)i);
}

static void service(struct buf *out, int i)
{
	Wds__Address a = WDS__ADDRESS__INIT;
	Wds__Service s = WDS__SERVICE__INIT;
	Wds__NetworkAddress vip = WDS__NETWORK_ADDRESS__INIT, *vips = &vip;
	Wds__Port port = WDS__PORT__INIT, *ports = &port;
	uint8_t at[4] = { 172, 20, (uint8_t)(i >> 8), (uint8_t)i };
	char name[30], ns[30], host[100], key[150];

	snprintf(ns, sizeof(ns), i < 0 ? "big" : "namespace-%d", i % 100);
	snprintf(name, sizeof(name), i < 0 ? "big" : "service-%d", i);
	snprintf(host, sizeof(host), "%s.%s.svc.cluster.local", name, ns);
	snprintf(key, sizeof(key), "%s/%s", ns, host);
	s.name = name;
	s.namespace_ = ns;
	s.hostname = host;
	vip.address = (ProtobufCBinaryData){ 4, at };
	s.addresses = &vips;
	s.n_addresses = 1;
	port.service_port = 80;
	port.target_port = 8080;
	s.ports = &ports;
	s.n_ports = 1;
	a.type_case = WDS__ADDRESS__TYPE_SERVICE;
	a.service = &s;
	resource(out, key, &a, (unsigned)i);
}

/* --- measures --- */

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double rss_mib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	if (!f || fscanf(f, "%*d %ld", &pages) != 1)
		exit(1);
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static double mib(size_t n)
{
	return (double)n / (1 << 20);
}

static struct loop *loop;

/* With the end of a turn, after which the snapshot before the last is freed. */
static void push(struct buf *msg)
{
	call.ops->on_message(&call, buf_str(msg), call.arg);
	epoch_sleep(&loop->epoch);
	epoch_collect();
	epoch_wake(&loop->epoch);
}

/* Microseconds of the control thread per change, in pushes of `batch`, of workloads from 0 to `below`. */
static double changes(int batch, int from, int below)
{
	double spent = 0;

	for (int i = 0; i < CHANGES; i += batch) {
		struct buf msg = { 0 };
		double t;

		for (int k = 0; k < batch; k++)
			workload(&msg, from + (i + k) * 7919 % (below - from), 2u + (unsigned)i);
		finish(&msg, "c");
		t = cpu_s();
		push(&msg);
		spent += cpu_s() - t;
		buf_done(&msg);
	}
	return spent / CHANGES * 1e6;
}

static void row(const char *what, double got, const char *unit, double promised)
{
	printf("%-52s %9.2f %-4s", what, got, unit);
	if (promised > 0)
		printf("  %.2f of %g", got / promised, promised);
	printf("\n");
}

int main(void)
{
	struct wds *wds = wds_new(&(struct wds_conf){ NULL, NULL });
	struct ads_type types[] = { { WDS_ADDRESS_URL, &wds_address_ops, wds, false } };
	struct buf msg = { 0 };
	double t, rss = rss_mib(), load;
	struct ads *ads;
	struct err err;

	loop = loop_new(-1);
	if (ads_new(&(struct ads_conf){ .loop = loop, .node_id = "x", .types = types, .n_types = 1 }, &ads, &err) < 0)
		return 1;
	ads_start(ads);
	for (int i = -1; i < SERVICES; i++)
		service(&msg, i);
	for (int i = 0; i < WORKLOADS; i++)
		workload(&msg, i, 1);
	finish(&msg, "1");
	printf("one push of %d workloads and %d services: %.1f MiB\n", WORKLOADS, SERVICES + 1, mib(buf_len(&msg)));
	t = cpu_s();
	push(&msg);
	load = cpu_s() - t;
	row("arrives and applies", load, "s", 3);
	t = cpu_s();
	push(&msg);
	row("comes again unchanged", cpu_s() - t, "s", 0);
	buf_done(&msg);
	malloc_trim(0);
	row("memory beyond an empty process", rss_mib() - rss, "MiB", 60);
	row("of that allocated", mib(mallinfo2().uordblks), "MiB", 0);
	row("one change, its service has 10 endpoints", changes(1, BIG, WORKLOADS), "us", 1000);
	row("one change, its service has 10 000 endpoints", changes(1, 0, BIG), "us", 1000);
	row("the same in pushes of 100, each change", changes(100, 0, BIG), "us", 100);
	row("1000 changes/s one by one, of a core", changes(1, 0, BIG) / 10, "%", 10);
	malloc_trim(0);
	row("memory after all of these", rss_mib() - rss, "MiB", 60);
	row("of that allocated", mib(mallinfo2().uordblks), "MiB", 0);
	if (mesh_count(mesh_current(), NULL, NULL) != WORKLOADS)
		return 1;
	ads_free(ads);
	wds_free(wds);
	loop_free(loop);
	return 0;
}
