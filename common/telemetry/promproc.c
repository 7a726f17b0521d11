/* SPDX-License-Identifier: Apache-2.0 */
/* The process's own figures. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "model/mesh.h"
#include "telemetry/bypass.h"
#include "telemetry/prom_int.h"
#include "telemetry/refusal.h"

static uint64_t open_fds(uint64_t max)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return errno == EMFILE ? max : 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(d);
	return n - 1;   /* the directory's own */
}

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%*u %llu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
	struct rusage u = { 0 };

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void put_build(struct prom *p, const struct prom_build *b)
{
	prom_head(p, "istio_build", PROM_GAUGE, "Istio component build info");
	buf_printf(p->out, "istio_build{component=\"%s\",tag=\"", b->component);
	prom_value(p->out, str_c(b->istio_version && *b->istio_version ? b->istio_version : "unknown"));
	buf_puts(p->out, "\"} 1\n");
	prom_head(p, "meshd_build", PROM_GAUGE, "The program that runs here");
	buf_puts(p->out, "meshd_build{version=\"");
	prom_value(p->out, str_c(b->version));
	buf_puts(p->out, "\"} 1\n");
}

static void put_refusal(const struct refusal_cause *c, void *arg)
{
	struct prom *p = arg;

	buf_printf(p->out, "meshd_refusals_total{cause=\"%s\"} %llu\n", c->cause, (unsigned long long)c->n);
}

static void put_refusals(struct prom *p)
{
	prom_head(p, "meshd_refusals", PROM_COUNTER, "Connections and requests that were refused, by cause");
	refusals_each(put_refusal, p);
}

void prom_process(struct prom *p, const struct prom_build *build)
{
	struct rlimit lim = { 0 };

	put_build(p, build);
	getrlimit(RLIMIT_NOFILE, &lim);
	prom_single(p, "process_open_fds", PROM_GAUGE, "Number of open file descriptors", open_fds(lim.rlim_cur));
	prom_single(p, "process_max_fds", PROM_GAUGE, "Maximum number of file descriptors", lim.rlim_cur);
	prom_single(p, "process_resident_memory_bytes", PROM_GAUGE, "Resident memory size in bytes", resident_bytes());
	prom_head(p, "process_cpu_seconds", PROM_COUNTER, "Total user and system CPU time spent in seconds");
	buf_printf(p->out, "process_cpu_seconds_total %.6f\n", cpu_seconds());
	prom_single(p, "meshd_config_generation", PROM_GAUGE, "Generation of the configuration in use",
		    mesh_generation(mesh_current()));
	prom_single(p, "meshd_waypoint_bypasses", PROM_COUNTER, "Connections let in past the waypoint that their destination names", bypass_total());
	put_refusals(p);
	prom_single(p, "meshd_log_lines_dropped", PROM_COUNTER, "Log lines lost because their reader was too slow", log_dropped());
}
