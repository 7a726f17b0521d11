# SPDX-License-Identifier: Apache-2.0
# Which files there are; tests/lint/files says when this list is out of date.
libmeshd_a_SOURCES = \
	common/admin/admin.c \
	common/admin/client.c \
	common/admin/clusters.c \
	common/admin/dump.c \
	common/admin/dump_object.c \
	common/admin/json.c \
	common/admin/page.c \
	common/admin/served.c \
	common/admin/status.c \
	common/base/addr.c \
	common/base/arena.c \
	common/base/backoff.c \
	common/base/buf.c \
	common/base/epoch.c \
	common/base/err.c \
	common/base/fail.c \
	common/base/log.c \
	common/base/map.c \
	common/base/pmap.c \
	common/base/regex.cc \
	common/base/str.c \
	common/base/tuning.c \
	common/base/xxhash64.c \
	common/dns/dnsmsg.c \
	common/dns/dnsproxy.c \
	common/dns/dnsproxy_tcp.c \
	common/dns/hostnames.c \
	common/dns/nametable.c \
	common/dns/resolvconf.c \
	common/dns/resolve.c \
	common/dns/upstream.c \
	common/ext/extauthz.c \
	common/ext/extauthz_grpc.c \
	common/ext/extauthz_http.c \
	common/ext/headeredit.c \
	common/ext/rateproto.c \
	common/ext/rateshared.c \
	common/ext/server.c \
	common/hbone/baggage.c \
	common/hbone/hpool.c \
	common/hbone/hserve.c \
	common/http/clean.c \
	common/http/conn.c \
	common/http/dial.c \
	common/http/exchange.c \
	common/http/exchange_relay.c \
	common/http/exchange_reply.c \
	common/http/fields.c \
	common/http/grpc.c \
	common/http/grpc_call.c \
	common/http/grpc_conn.c \
	common/http/grpc_frame.c \
	common/http/h1.c \
	common/http/h1parse.c \
	common/http/h1post.c \
	common/http/h1request.c \
	common/http/h1server.c \
	common/http/h1stream.c \
	common/http/h2.c \
	common/http/h2head.c \
	common/http/h2stream.c \
	common/http/message.c \
	common/http/path.c \
	common/http/websocket.c \
	common/http/xfcc.c \
	common/identity/certdump.c \
	common/identity/citadel.c \
	common/identity/csr.c \
	common/identity/entry.c \
	common/identity/fetch.c \
	common/identity/identity.c \
	common/identity/localca.c \
	common/identity/rootset.c \
	common/identity/secret.c \
	common/identity/svid.c \
	common/io/listen.c \
	common/io/loop.c \
	common/io/pump.c \
	common/io/share.c \
	common/io/sock.c \
	common/io/watch.c \
	common/io/worker.c \
	common/model/endpoints.c \
	common/model/mesh.c \
	common/model/mesh_edit.c \
	common/model/meshconfig.c \
	common/model/object.c \
	common/model/pack.c \
	common/model/resource.c \
	common/model/security.c \
	common/model/texts.c \
	common/model/virtualservice.c \
	common/model/waypoint.c \
	common/net/cgroup.c \
	common/net/conntrack.c \
	common/net/netns.c \
	common/net/nft.c \
	common/net/notify.c \
	common/net/origdst.c \
	common/net/ownaddr.c \
	common/net/privs.c \
	common/net/proxyproto.c \
	common/net/redirect.c \
	common/net/route.c \
	common/net/sockopt.c \
	common/net/socks.c \
	common/policy/authz.c \
	common/policy/authz_explain.c \
	common/policy/authz_filter.c \
	common/policy/cidrset.c \
	common/policy/claims.c \
	common/policy/jwks.c \
	common/policy/jwksource.c \
	common/policy/jwt.c \
	common/policy/jwt_filter.c \
	common/policy/jwt_find.c \
	common/policy/ratebucket.c \
	common/policy/ratelimit.c \
	common/policy/rulebook.c \
	common/policy/ruleindex.c \
	common/policy/scope.c \
	common/policy/strset.c \
	common/policy/subject.c \
	common/source/ads.c \
	common/source/ads_push.c \
	common/source/ads_want.c \
	common/source/analyze.c \
	common/source/authztest.c \
	common/source/check.c \
	common/source/conf.c \
	common/source/conf_authz.c \
	common/source/conf_gateway.c \
	common/source/conf_mesh.c \
	common/source/conf_peer.c \
	common/source/conf_route.c \
	common/source/conf_rules.c \
	common/source/conf_security.c \
	common/source/conf_service.c \
	common/source/conf_workload.c \
	common/source/confdir.c \
	common/source/confdir_read.c \
	common/source/confdir_view.c \
	common/source/confscan.c \
	common/source/crd_core.c \
	common/source/crd_destinationrule.c \
	common/source/crd_istio.c \
	common/source/crd_mesh.c \
	common/source/crd_provider.c \
	common/source/crd_proxy.c \
	common/source/crd_route.c \
	common/source/crd_security.c \
	common/source/crd_sidecar.c \
	common/source/crd_telemetry.c \
	common/source/crd_unsupported.c \
	common/source/crd_virtualservice.c \
	common/source/crosscheck.c \
	common/source/explain.c \
	common/source/field.c \
	common/source/link.c \
	common/source/link_gateway.c \
	common/source/link_select.c \
	common/source/link_service.c \
	common/source/link_target.c \
	common/source/link_vip.c \
	common/source/local_policy.c \
	common/source/local_read.c \
	common/source/local_xds.c \
	common/source/members.c \
	common/source/path.c \
	common/source/path_client.c \
	common/source/path_judge.c \
	common/source/path_route.c \
	common/source/path_server.c \
	common/source/path_text.c \
	common/source/path_waypoint.c \
	common/source/pathcheck.c \
	common/source/report.c \
	common/source/value.c \
	common/source/wds.c \
	common/source/wds_address.c \
	common/source/wds_authz.c \
	common/source/wds_walk.c \
	common/source/wire.c \
	common/source/yaml.c \
	common/source/zds.c \
	common/telemetry/accesslog.c \
	common/telemetry/bypass.c \
	common/telemetry/cel.c \
	common/telemetry/cel_attr.c \
	common/telemetry/cel_eval.c \
	common/telemetry/collector.c \
	common/telemetry/edges.c \
	common/telemetry/filter.c \
	common/telemetry/flow.c \
	common/telemetry/flow_proxy.c \
	common/telemetry/format.c \
	common/telemetry/format_write.c \
	common/telemetry/meters.c \
	common/telemetry/otlp.c \
	common/telemetry/peer.c \
	common/telemetry/peermeta.c \
	common/telemetry/prom.c \
	common/telemetry/promflow.c \
	common/telemetry/promproc.c \
	common/telemetry/promrows.c \
	common/telemetry/refusal.c \
	common/telemetry/remote.c \
	common/telemetry/requests.c \
	common/telemetry/respflag.c \
	common/telemetry/rows.c \
	common/telemetry/series.c \
	common/telemetry/shadow.c \
	common/telemetry/span.c \
	common/telemetry/span_make.c \
	common/telemetry/span_request.c \
	common/telemetry/tally.c \
	common/telemetry/teleconf.c \
	common/telemetry/teleconf_log.c \
	common/telemetry/teleconf_metric.c \
	common/telemetry/teleconf_trace.c \
	common/telemetry/trace.c \
	common/telemetry/why.c \
	common/tls/certtext.c \
	common/tls/digest.c \
	common/tls/ed25519.c \
	common/tls/hello.c \
	common/tls/origin.c \
	common/tls/pem.c \
	common/tls/resume.c \
	common/tls/spiffe.c \
	common/tls/tls.c \
	common/tls/tlsctx.c \
	common/tls/verify.c \
	common/tls/webctx.c \
	common/traffic/cluster.c \
	common/traffic/cluster_conf.c \
	common/traffic/compile.c \
	common/traffic/compile_cluster.c \
	common/traffic/compile_edit.c \
	common/traffic/compile_inbound.c \
	common/traffic/compile_l4.c \
	common/traffic/compile_listen.c \
	common/traffic/compile_route.c \
	common/traffic/compile_rule.c \
	common/traffic/compile_scope.c \
	common/traffic/compile_vhost.c \
	common/traffic/compile_vs.c \
	common/traffic/compile_waypoint.c \
	common/traffic/dest.c \
	common/traffic/dest_gate.c \
	common/traffic/dest_memory.c \
	common/traffic/dest_pick.c \
	common/traffic/dest_served.c \
	common/traffic/guard.c \
	common/traffic/host.c \
	common/traffic/hostset.c \
	common/traffic/intake.c \
	common/traffic/l4.c \
	common/traffic/lb.c \
	common/traffic/lb_hash.c \
	common/traffic/level.c \
	common/traffic/locality.c \
	common/traffic/mirror.c \
	common/traffic/named.c \
	common/traffic/outlier.c \
	common/traffic/plan.c \
	common/traffic/race.c \
	common/traffic/retry.c \
	common/traffic/route_apply.c \
	common/traffic/route_cors.c \
	common/traffic/route_filter.c \
	common/traffic/route_index.c \
	common/traffic/route_match.c \
	common/traffic/route_table.c \
	common/traffic/router.c \
	common/traffic/router_hash.c \
	common/traffic/router_time.c \
	common/traffic/router_try.c \
	common/traffic/upool.c \
	common/traffic/upool_conn.c \
	common/traffic/upool_limit.c \
	common/traffic/upool_memory.c \
	common/traffic/urequest.c \
	common/traffic/zone.c \
	modes/authority.c \
	modes/binds.c \
	modes/chain.c \
	modes/conn.c \
	modes/crowd.c \
	modes/demand.c \
	modes/handover.c \
	modes/hconn.c \
	modes/inbound.c \
	modes/inpod.c \
	modes/mx.c \
	modes/mxfilter.c \
	modes/outbound.c \
	modes/pod.c \
	modes/pod_dns.c \
	modes/pod_shared.c \
	modes/proxy.c \
	modes/side.c \
	modes/side_in.c \
	modes/side_out.c \
	modes/l7.c \
	modes/sniff.c \
	modes/upstream.c \
	src/commands.c \
	src/options.c \
	src/probes.c \
	src/proxyconfig.c \
	src/redirect_cmd.c \
	src/run.c \
	src/serve.c \
	src/serve_admin.c \
	src/serve_demand.c \
	src/serve_files.c \
	src/serve_handover.c \
	src/serve_jwks.c \
	src/serve_local.c \
	src/serve_metrics.c \
	src/serve_otlp.c \
	src/serve_plane.c \
	src/serve_pods.c \
	src/serve_l7.c \
	src/settings.c \
	src/settings_env.c \
	src/settings_otlp.c

PROTOS = \
	common/proto/ads.proto \
	common/proto/authorization.proto \
	common/proto/citadel.proto \
	common/proto/ext_authz.proto \
	common/proto/handover.proto \
	common/proto/otlp.proto \
	common/proto/ratelimit.proto \
	common/proto/wellknown.proto \
	common/proto/workload.proto \
	common/proto/zds.proto

HEADERS_ALL = \
	common/admin/admin.h \
	common/admin/admin_int.h \
	common/admin/clusters.h \
	common/admin/dump_object.h \
	common/admin/json.h \
	common/admin/served.h \
	common/base/addr.h \
	common/base/arena.h \
	common/base/backoff.h \
	common/base/buf.h \
	common/base/epoch.h \
	common/base/err.h \
	common/base/fail.def \
	common/base/fail.h \
	common/base/limits.h \
	common/base/list.h \
	common/base/log.h \
	common/base/map.h \
	common/base/pmap.h \
	common/base/regex.h \
	common/base/str.h \
	common/base/tuning.h \
	common/base/xxhash64.h \
	common/dns/dnsmsg.h \
	common/dns/dnsproxy.h \
	common/dns/dnsproxy_int.h \
	common/dns/hostnames.h \
	common/dns/nametable.h \
	common/dns/resolvconf.h \
	common/dns/resolve.h \
	common/dns/upstream.h \
	common/ext/extauthz.h \
	common/ext/extauthz_int.h \
	common/ext/headeredit.h \
	common/ext/rateshared.h \
	common/ext/rateshared_int.h \
	common/ext/server.h \
	common/hbone/baggage.h \
	common/hbone/hpool.h \
	common/hbone/hserve.h \
	common/http/clean.h \
	common/http/conn.h \
	common/http/dial.h \
	common/http/exchange.h \
	common/http/exchange_int.h \
	common/http/grpc.h \
	common/http/grpc_frame.h \
	common/http/grpc_int.h \
	common/http/h1.h \
	common/http/h1_int.h \
	common/http/h1post.h \
	common/http/h1server.h \
	common/http/h1server_int.h \
	common/http/h2.h \
	common/http/h2_int.h \
	common/http/message.h \
	common/http/stream.h \
	common/http/xfcc.h \
	common/identity/ca.h \
	common/identity/certdump.h \
	common/identity/citadel.h \
	common/identity/csr.h \
	common/identity/fetch.h \
	common/identity/identity.h \
	common/identity/identity_int.h \
	common/identity/localca.h \
	common/identity/rootset.h \
	common/identity/secret.h \
	common/identity/svid.h \
	common/io/listen.h \
	common/io/loop.h \
	common/io/pump.h \
	common/io/share.h \
	common/io/sock.h \
	common/io/stage.h \
	common/io/watch.h \
	common/io/worker.h \
	common/model/destinationrule.h \
	common/model/endpoints.h \
	common/model/mesh.h \
	common/model/mesh_int.h \
	common/model/meshconfig.h \
	common/model/object.h \
	common/model/object_int.h \
	common/model/pack.h \
	common/model/resource.h \
	common/model/security.h \
	common/model/sidecarscope.h \
	common/model/telemetry.h \
	common/model/texts.h \
	common/model/virtualservice.h \
	common/model/waypoint.h \
	common/net/cgroup.h \
	common/net/conntrack.h \
	common/net/netns.h \
	common/net/nft.h \
	common/net/notify.h \
	common/net/origdst.h \
	common/net/ownaddr.h \
	common/net/privs.h \
	common/net/proxyproto.h \
	common/net/redirect.h \
	common/net/route.h \
	common/net/sockopt.h \
	common/net/socks.h \
	common/policy/authz.h \
	common/policy/cidrset.h \
	common/policy/claims.h \
	common/policy/jwksource.h \
	common/policy/jwt.h \
	common/policy/jwt_filter.h \
	common/policy/jwt_find.h \
	common/policy/ratebucket.h \
	common/policy/ratelimit.h \
	common/policy/rulebook.h \
	common/policy/ruleindex.h \
	common/policy/scope.h \
	common/policy/strset.h \
	common/policy/subject.h \
	common/source/ads.h \
	common/source/ads_int.h \
	common/source/analyze.h \
	common/source/authztest.h \
	common/source/check.h \
	common/source/conf.h \
	common/source/conf_authz_int.h \
	common/source/confdir.h \
	common/source/confdir_int.h \
	common/source/confscan.h \
	common/source/crd.h \
	common/source/crosscheck.h \
	common/source/field.h \
	common/source/link.h \
	common/source/link_gateway.h \
	common/source/link_service.h \
	common/source/local_int.h \
	common/source/local_xds.h \
	common/source/members.h \
	common/source/path.h \
	common/source/path_int.h \
	common/source/pathcheck.h \
	common/source/report.h \
	common/source/value.h \
	common/source/wds.h \
	common/source/wds_int.h \
	common/source/wire.h \
	common/source/yaml.h \
	common/source/zds.h \
	common/telemetry/accesslog.h \
	common/telemetry/bypass.h \
	common/telemetry/cel.h \
	common/telemetry/cel_int.h \
	common/telemetry/collector.h \
	common/telemetry/edges.h \
	common/telemetry/filter.h \
	common/telemetry/flow.h \
	common/telemetry/flow_int.h \
	common/telemetry/format.h \
	common/telemetry/format_int.h \
	common/telemetry/meters.h \
	common/telemetry/otlp.h \
	common/telemetry/peer.h \
	common/telemetry/peermeta.h \
	common/telemetry/prom.h \
	common/telemetry/prom_int.h \
	common/telemetry/refusal.h \
	common/telemetry/remote.h \
	common/telemetry/requests.h \
	common/telemetry/respflag.h \
	common/telemetry/rows.h \
	common/telemetry/rows_int.h \
	common/telemetry/series.h \
	common/telemetry/shadow.h \
	common/telemetry/span.h \
	common/telemetry/span_int.h \
	common/telemetry/tally.h \
	common/telemetry/teleconf.h \
	common/telemetry/teleconf_int.h \
	common/telemetry/trace.h \
	common/telemetry/why.h \
	common/tls/certtext_int.h \
	common/tls/digest.h \
	common/tls/ed25519.h \
	common/tls/hello.h \
	common/tls/origin.h \
	common/tls/pem_int.h \
	common/tls/resume_int.h \
	common/tls/spiffe.h \
	common/tls/tls.h \
	common/tls/tlsctx.h \
	common/tls/tlsctx_int.h \
	common/tls/webctx.h \
	common/traffic/cluster.h \
	common/traffic/cluster_int.h \
	common/traffic/compile_int.h \
	common/traffic/compile_route_int.h \
	common/traffic/dest.h \
	common/traffic/dest_int.h \
	common/traffic/guard.h \
	common/traffic/intake.h \
	common/traffic/named.h \
	common/traffic/plan.h \
	common/traffic/plan_int.h \
	common/traffic/race.h \
	common/traffic/retry.h \
	common/traffic/route.h \
	common/traffic/route_int.h \
	common/traffic/router.h \
	common/traffic/router_int.h \
	common/traffic/upool_int.h \
	common/traffic/urequest.h \
	modes/authority.h \
	modes/binds.h \
	modes/chain.h \
	modes/conn.h \
	modes/crowd.h \
	modes/demand.h \
	modes/handover.h \
	modes/hconn.h \
	modes/inpod.h \
	modes/mx.h \
	modes/mxfilter.h \
	modes/pod.h \
	modes/pod_dns.h \
	modes/proxy.h \
	modes/side.h \
	modes/l7.h \
	modes/sniff.h \
	modes/upstream.h \
	src/commands.h \
	src/options.h \
	src/probes.h \
	src/proxyconfig.h \
	src/redirect_cmd.h \
	src/run.h \
	src/serve_int.h \
	src/settings.h \
	src/settings_int.h \
	src/version.h \
	tests/unit/clusters.h \
	tests/unit/confdir_fixture.h \
	tests/unit/dialstage.h \
	tests/unit/dnsbytes.h \
	tests/unit/dnsnet.h \
	tests/unit/exchange_fixture.h \
	tests/unit/fakeca.h \
	tests/unit/fakecluster.h \
	tests/unit/fielddump.h \
	tests/unit/filters.h \
	tests/unit/h2peer.h \
	tests/unit/jwt.txt \
	tests/unit/memstage.h \
	tests/unit/pki.h \
	tests/unit/plan_fixture.h \
	tests/unit/pod_fixture.h \
	tests/unit/routerlab.h \
	tests/unit/shake.h \
	tests/unit/shell.h \
	tests/unit/smuggling.txt \
	tests/unit/stages.h \
	tests/unit/suite.h \
	tests/unit/teleconf_fixture.h \
	tests/unit/upstreams.h

UNIT_TESTS = \
	tests/unit/test_addr \
	tests/unit/test_admin \
	tests/unit/test_ads \
	tests/unit/test_arena \
	tests/unit/test_authority \
	tests/unit/test_authz \
	tests/unit/test_authz_filter \
	tests/unit/test_authztest \
	tests/unit/test_backoff \
	tests/unit/test_baggage \
	tests/unit/test_binds \
	tests/unit/test_buf \
	tests/unit/test_bypass \
	tests/unit/test_cel \
	tests/unit/test_chain \
	tests/unit/test_cidrset \
	tests/unit/test_citadel \
	tests/unit/test_clean \
	tests/unit/test_cluster \
	tests/unit/test_clusters \
	tests/unit/test_collector \
	tests/unit/test_conf \
	tests/unit/test_conf_authz \
	tests/unit/test_conf_gateway \
	tests/unit/test_conf_mesh \
	tests/unit/test_conf_route \
	tests/unit/test_conf_rules \
	tests/unit/test_conf_security \
	tests/unit/test_conf_traffic \
	tests/unit/test_confdir \
	tests/unit/test_conn \
	tests/unit/test_conntrack \
	tests/unit/test_crd \
	tests/unit/test_crosscheck \
	tests/unit/test_crowd \
	tests/unit/test_demand \
	tests/unit/test_dest \
	tests/unit/test_dnsmsg \
	tests/unit/test_dnsproxy \
	tests/unit/test_edges \
	tests/unit/test_endpoints \
	tests/unit/test_entry \
	tests/unit/test_epoch \
	tests/unit/test_exchange \
	tests/unit/test_explain \
	tests/unit/test_extauthz \
	tests/unit/test_fields \
	tests/unit/test_filter \
	tests/unit/test_flow \
	tests/unit/test_flow_proxy \
	tests/unit/test_format \
	tests/unit/test_grpc \
	tests/unit/test_grpc_conn \
	tests/unit/test_guard \
	tests/unit/test_h1 \
	tests/unit/test_h1post \
	tests/unit/test_h1server \
	tests/unit/test_h2 \
	tests/unit/test_handover \
	tests/unit/test_hconn \
	tests/unit/test_hello \
	tests/unit/test_hostnames \
	tests/unit/test_hpool \
	tests/unit/test_identity \
	tests/unit/test_inpod \
	tests/unit/test_intake \
	tests/unit/test_jwt \
	tests/unit/test_jwt_filter \
	tests/unit/test_l4 \
	tests/unit/test_lb \
	tests/unit/test_lb_hash \
	tests/unit/test_link \
	tests/unit/test_local_xds \
	tests/unit/test_localca \
	tests/unit/test_locality \
	tests/unit/test_map \
	tests/unit/test_mesh \
	tests/unit/test_message \
	tests/unit/test_mx \
	tests/unit/test_named \
	tests/unit/test_nametable \
	tests/unit/test_netns \
	tests/unit/test_notify \
	tests/unit/test_object \
	tests/unit/test_origdst \
	tests/unit/test_origin \
	tests/unit/test_otlp \
	tests/unit/test_outlier \
	tests/unit/test_path \
	tests/unit/test_pathcheck \
	tests/unit/test_peermeta \
	tests/unit/test_plan \
	tests/unit/test_plan_waypoint \
	tests/unit/test_pmap \
	tests/unit/test_privs \
	tests/unit/test_probes \
	tests/unit/test_prom \
	tests/unit/test_proxyproto \
	tests/unit/test_pump \
	tests/unit/test_race \
	tests/unit/test_ratelimit \
	tests/unit/test_rateproto \
	tests/unit/test_redirect \
	tests/unit/test_refusal \
	tests/unit/test_regex \
	tests/unit/test_requests \
	tests/unit/test_resolvconf \
	tests/unit/test_resolve \
	tests/unit/test_resource \
	tests/unit/test_resume \
	tests/unit/test_retry \
	tests/unit/test_route \
	tests/unit/test_route_filter \
	tests/unit/test_router \
	tests/unit/test_router_model \
	tests/unit/test_rows \
	tests/unit/test_run \
	tests/unit/test_scope \
	tests/unit/test_settings \
	tests/unit/test_share \
	tests/unit/test_side \
	tests/unit/test_sniff \
	tests/unit/test_socks \
	tests/unit/test_spiffe \
	tests/unit/test_str \
	tests/unit/test_teleconf \
	tests/unit/test_texts \
	tests/unit/test_tls \
	tests/unit/test_tlsctx \
	tests/unit/test_trace \
	tests/unit/test_upool \
	tests/unit/test_upstream \
	tests/unit/test_urequest \
	tests/unit/test_value \
	tests/unit/test_watch \
	tests/unit/test_wds \
	tests/unit/test_webctx \
	tests/unit/test_websocket \
	tests/unit/test_xfcc \
	tests/unit/test_xxhash64 \
	tests/unit/test_yaml \
	tests/unit/test_zds

FUZZERS = \
	tests/fuzz/fuzz_ads \
	tests/fuzz/fuzz_authorization \
	tests/fuzz/fuzz_baggage \
	tests/fuzz/fuzz_citadel \
	tests/fuzz/fuzz_exchange \
	tests/fuzz/fuzz_extauthz \
	tests/fuzz/fuzz_dns \
	tests/fuzz/fuzz_format \
	tests/fuzz/fuzz_grpc \
	tests/fuzz/fuzz_h1_request \
	tests/fuzz/fuzz_h1_response \
	tests/fuzz/fuzz_hello \
	tests/fuzz/fuzz_hserve \
	tests/fuzz/fuzz_jwt \
	tests/fuzz/fuzz_message \
	tests/fuzz/fuzz_peermeta \
	tests/fuzz/fuzz_route \
	tests/fuzz/fuzz_socks \
	tests/fuzz/fuzz_trace \
	tests/fuzz/fuzz_wds \
	tests/fuzz/fuzz_yaml \
	tests/fuzz/fuzz_zds

tests_unit_test_addr_SOURCES = tests/unit/test_addr.c

tests_unit_test_admin_SOURCES = tests/unit/test_admin.c

tests_unit_test_ads_SOURCES = tests/unit/test_ads.c

tests_unit_test_arena_SOURCES = tests/unit/test_arena.c

tests_unit_test_authority_SOURCES = tests/unit/test_authority.c

tests_unit_test_authz_SOURCES = tests/unit/test_authz.c
tests_unit_test_authz_filter_SOURCES = tests/unit/test_authz_filter.c

tests_unit_test_authztest_SOURCES = tests/unit/test_authztest.c
tests_unit_test_backoff_SOURCES = tests/unit/test_backoff.c

tests_unit_test_baggage_SOURCES = tests/unit/test_baggage.c

tests_unit_test_binds_SOURCES = tests/unit/test_binds.c

tests_unit_test_buf_SOURCES = tests/unit/test_buf.c

tests_unit_test_bypass_SOURCES = tests/unit/test_bypass.c

tests_unit_test_cidrset_SOURCES = tests/unit/test_cidrset.c

tests_unit_test_cel_SOURCES = tests/unit/test_cel.c

tests_unit_test_chain_SOURCES = tests/unit/test_chain.c

tests_unit_test_citadel_SOURCES = tests/unit/test_citadel.c
tests_unit_test_clean_SOURCES = tests/unit/test_clean.c

tests_unit_test_cluster_SOURCES = tests/unit/test_cluster.c

tests_unit_test_clusters_SOURCES = tests/unit/test_clusters.c

tests_unit_test_collector_SOURCES = tests/unit/test_collector.c

tests_unit_test_conf_SOURCES = tests/unit/test_conf.c

tests_unit_test_conf_authz_SOURCES = tests/unit/test_conf_authz.c
tests_unit_test_conf_mesh_SOURCES = tests/unit/test_conf_mesh.c
tests_unit_test_conf_route_SOURCES = tests/unit/test_conf_route.c
tests_unit_test_conf_rules_SOURCES = tests/unit/test_conf_rules.c

tests_unit_test_conf_gateway_SOURCES = tests/unit/test_conf_gateway.c

tests_unit_test_conf_security_SOURCES = tests/unit/test_conf_security.c
tests_unit_test_conf_traffic_SOURCES = tests/unit/test_conf_traffic.c
tests_unit_test_confdir_SOURCES = tests/unit/test_confdir.c

tests_unit_test_conn_SOURCES = tests/unit/test_conn.c
tests_unit_test_conntrack_SOURCES = tests/unit/test_conntrack.c

tests_unit_test_crd_SOURCES = tests/unit/test_crd.c
tests_unit_test_crosscheck_SOURCES = tests/unit/test_crosscheck.c
tests_unit_test_crowd_SOURCES = tests/unit/test_crowd.c

tests_unit_test_demand_SOURCES = tests/unit/test_demand.c

tests_unit_test_dest_SOURCES = tests/unit/test_dest.c

tests_unit_test_dnsmsg_SOURCES = tests/unit/test_dnsmsg.c

tests_unit_test_dnsproxy_SOURCES = tests/unit/test_dnsproxy.c

tests_unit_test_edges_SOURCES = tests/unit/test_edges.c

tests_unit_test_endpoints_SOURCES = tests/unit/test_endpoints.c

tests_unit_test_entry_SOURCES = tests/unit/test_entry.c

tests_unit_test_epoch_SOURCES = tests/unit/test_epoch.c

tests_unit_test_filter_SOURCES = tests/unit/test_filter.c

tests_unit_test_flow_proxy_SOURCES = tests/unit/test_flow_proxy.c

tests_unit_test_rateproto_SOURCES = tests/unit/test_rateproto.c
tests_unit_test_extauthz_SOURCES = tests/unit/test_extauthz.c
tests_unit_test_exchange_SOURCES = tests/unit/test_exchange.c
tests_unit_test_explain_SOURCES = tests/unit/test_explain.c

tests_unit_test_fields_SOURCES = tests/unit/test_fields.c
tests_unit_test_flow_SOURCES = tests/unit/test_flow.c

tests_unit_test_format_SOURCES = tests/unit/test_format.c

tests_unit_test_grpc_SOURCES = tests/unit/test_grpc.c

tests_unit_test_grpc_conn_SOURCES = tests/unit/test_grpc_conn.c

tests_unit_test_guard_SOURCES = tests/unit/test_guard.c

tests_unit_test_h1_SOURCES = tests/unit/test_h1.c

tests_unit_test_h1post_SOURCES = tests/unit/test_h1post.c

tests_unit_test_h1server_SOURCES = tests/unit/test_h1server.c

tests_unit_test_h2_SOURCES = tests/unit/test_h2.c

tests_unit_test_handover_SOURCES = tests/unit/test_handover.c

tests_unit_test_hconn_SOURCES = tests/unit/test_hconn.c

tests_unit_test_hello_SOURCES = tests/unit/test_hello.c
tests_unit_test_hpool_SOURCES = tests/unit/test_hpool.c

tests_unit_test_hostnames_SOURCES = tests/unit/test_hostnames.c

tests_unit_test_identity_SOURCES = tests/unit/test_identity.c

tests_unit_test_lb_SOURCES = tests/unit/test_lb.c

tests_unit_test_lb_hash_SOURCES = tests/unit/test_lb_hash.c

tests_unit_test_inpod_SOURCES = tests/unit/test_inpod.c

tests_unit_test_intake_SOURCES = tests/unit/test_intake.c

tests_unit_test_l4_SOURCES = tests/unit/test_l4.c

tests_unit_test_link_SOURCES = tests/unit/test_link.c

tests_unit_test_local_xds_SOURCES = tests/unit/test_local_xds.c

tests_unit_test_jwt_SOURCES = tests/unit/test_jwt.c
tests_unit_test_jwt_filter_SOURCES = tests/unit/test_jwt_filter.c
tests_unit_test_ratelimit_SOURCES = tests/unit/test_ratelimit.c
tests_unit_test_localca_SOURCES = tests/unit/test_localca.c

tests_unit_test_locality_SOURCES = tests/unit/test_locality.c

tests_unit_test_map_SOURCES = tests/unit/test_map.c

tests_unit_test_mesh_SOURCES = tests/unit/test_mesh.c

tests_unit_test_message_SOURCES = tests/unit/test_message.c

tests_unit_test_mx_SOURCES = tests/unit/test_mx.c

tests_unit_test_named_SOURCES = tests/unit/test_named.c

tests_unit_test_nametable_SOURCES = tests/unit/test_nametable.c

tests_unit_test_netns_SOURCES = tests/unit/test_netns.c

tests_unit_test_notify_SOURCES = tests/unit/test_notify.c

tests_unit_test_object_SOURCES = tests/unit/test_object.c

tests_unit_test_origdst_SOURCES = tests/unit/test_origdst.c

tests_unit_test_origin_SOURCES = tests/unit/test_origin.c

tests_unit_test_otlp_SOURCES = tests/unit/test_otlp.c

tests_unit_test_peermeta_SOURCES = tests/unit/test_peermeta.c
tests_unit_test_outlier_SOURCES = tests/unit/test_outlier.c

tests_unit_test_path_SOURCES = tests/unit/test_path.c

tests_unit_test_pathcheck_SOURCES = tests/unit/test_pathcheck.c

tests_unit_test_plan_SOURCES = tests/unit/test_plan.c
tests_unit_test_plan_waypoint_SOURCES = tests/unit/test_plan_waypoint.c
tests_unit_test_pmap_SOURCES = tests/unit/test_pmap.c

tests_unit_test_privs_SOURCES = tests/unit/test_privs.c

tests_unit_test_probes_SOURCES = tests/unit/test_probes.c

tests_unit_test_prom_SOURCES = tests/unit/test_prom.c

tests_unit_test_proxyproto_SOURCES = tests/unit/test_proxyproto.c

tests_unit_test_pump_SOURCES = tests/unit/test_pump.c

tests_unit_test_redirect_SOURCES = tests/unit/test_redirect.c

tests_unit_test_refusal_SOURCES = tests/unit/test_refusal.c

tests_unit_test_regex_SOURCES = tests/unit/test_regex.c
tests_unit_test_requests_SOURCES = tests/unit/test_requests.c

tests_unit_test_resolvconf_SOURCES = tests/unit/test_resolvconf.c

tests_unit_test_resolve_SOURCES = tests/unit/test_resolve.c

tests_unit_test_resource_SOURCES = tests/unit/test_resource.c
tests_unit_test_resume_SOURCES = tests/unit/test_resume.c

tests_unit_test_route_SOURCES = tests/unit/test_route.c
tests_unit_test_route_filter_SOURCES = tests/unit/test_route_filter.c

tests_unit_test_router_SOURCES = tests/unit/test_router.c

tests_unit_test_router_model_SOURCES = tests/unit/test_router_model.c

tests_unit_test_race_SOURCES = tests/unit/test_race.c

tests_unit_test_retry_SOURCES = tests/unit/test_retry.c

tests_unit_test_rows_SOURCES = tests/unit/test_rows.c

tests_unit_test_run_SOURCES = tests/unit/test_run.c

tests_unit_test_scope_SOURCES = tests/unit/test_scope.c
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c

tests_unit_test_share_SOURCES = tests/unit/test_share.c

tests_unit_test_side_SOURCES = tests/unit/test_side.c

tests_unit_test_sniff_SOURCES = tests/unit/test_sniff.c
tests_unit_test_socks_SOURCES = tests/unit/test_socks.c

tests_unit_test_spiffe_SOURCES = tests/unit/test_spiffe.c

tests_unit_test_str_SOURCES = tests/unit/test_str.c

tests_unit_test_teleconf_SOURCES = tests/unit/test_teleconf.c

tests_unit_test_texts_SOURCES = tests/unit/test_texts.c

tests_unit_test_tls_SOURCES = tests/unit/test_tls.c
tests_unit_test_tlsctx_SOURCES = tests/unit/test_tlsctx.c

tests_unit_test_trace_SOURCES = tests/unit/test_trace.c

tests_unit_test_upool_SOURCES = tests/unit/test_upool.c

tests_unit_test_upstream_SOURCES = tests/unit/test_upstream.c

tests_unit_test_urequest_SOURCES = tests/unit/test_urequest.c

tests_unit_test_value_SOURCES = tests/unit/test_value.c

tests_unit_test_watch_SOURCES = tests/unit/test_watch.c

tests_unit_test_wds_SOURCES = tests/unit/test_wds.c

tests_unit_test_webctx_SOURCES = tests/unit/test_webctx.c
tests_unit_test_websocket_SOURCES = tests/unit/test_websocket.c

tests_unit_test_xfcc_SOURCES = tests/unit/test_xfcc.c
tests_unit_test_xxhash64_SOURCES = tests/unit/test_xxhash64.c

tests_unit_test_yaml_SOURCES = tests/unit/test_yaml.c

tests_unit_test_zds_SOURCES = tests/unit/test_zds.c

tests_fuzz_fuzz_ads_SOURCES = tests/fuzz/fuzz_ads.c
tests_fuzz_fuzz_ads_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_authorization_SOURCES = tests/fuzz/fuzz_authorization.c
tests_fuzz_fuzz_authorization_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_baggage_SOURCES = tests/fuzz/fuzz_baggage.c
tests_fuzz_fuzz_baggage_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_grpc_SOURCES = tests/fuzz/fuzz_grpc.c
tests_fuzz_fuzz_grpc_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_citadel_SOURCES = tests/fuzz/fuzz_citadel.c
tests_fuzz_fuzz_citadel_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_exchange_SOURCES = tests/fuzz/fuzz_exchange.c
tests_fuzz_fuzz_exchange_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_extauthz_SOURCES = tests/fuzz/fuzz_extauthz.c
tests_fuzz_fuzz_extauthz_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_dns_SOURCES = tests/fuzz/fuzz_dns.c
tests_fuzz_fuzz_dns_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_format_SOURCES = tests/fuzz/fuzz_format.c
tests_fuzz_fuzz_format_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_h1_request_SOURCES = tests/fuzz/fuzz_h1_request.c
tests_fuzz_fuzz_h1_request_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_h1_response_SOURCES = tests/fuzz/fuzz_h1_response.c
tests_fuzz_fuzz_h1_response_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_hello_SOURCES = tests/fuzz/fuzz_hello.c
tests_fuzz_fuzz_hello_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_hserve_SOURCES = tests/fuzz/fuzz_hserve.c
tests_fuzz_fuzz_hserve_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_jwt_SOURCES = tests/fuzz/fuzz_jwt.c
tests_fuzz_fuzz_jwt_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_message_SOURCES = tests/fuzz/fuzz_message.c
tests_fuzz_fuzz_message_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_peermeta_SOURCES = tests/fuzz/fuzz_peermeta.c
tests_fuzz_fuzz_peermeta_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_route_SOURCES = tests/fuzz/fuzz_route.c
tests_fuzz_fuzz_route_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)
tests_fuzz_fuzz_socks_SOURCES = tests/fuzz/fuzz_socks.c
tests_fuzz_fuzz_socks_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_trace_SOURCES = tests/fuzz/fuzz_trace.c
tests_fuzz_fuzz_trace_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_wds_SOURCES = tests/fuzz/fuzz_wds.c
tests_fuzz_fuzz_wds_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_yaml_SOURCES = tests/fuzz/fuzz_yaml.c
tests_fuzz_fuzz_yaml_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

tests_fuzz_fuzz_zds_SOURCES = tests/fuzz/fuzz_zds.c
tests_fuzz_fuzz_zds_LDFLAGS = -fsanitize=fuzzer $(AM_LDFLAGS)

EXTRA_FILES = \
	.ci/run \
	ARCHITECTURE.md \
	LICENSE \
	README.md \
	SECURITY.md \
	common/LAYERS \
	common/admin/README.md \
	common/admin/page.css \
	common/admin/page.html \
	common/admin/page.js \
	common/base/README.md \
	common/dns/README.md \
	common/ext/README.md \
	common/hbone/README.md \
	common/http/README.md \
	common/identity/README.md \
	common/io/README.md \
	common/model/README.md \
	common/net/README.md \
	common/policy/README.md \
	common/proto/README.md \
	common/source/README.md \
	common/telemetry/README.md \
	common/tls/README.md \
	common/traffic/README.md \
	examples/canary/README.md \
	examples/canary/mesh.yaml \
	examples/canary/policy.yaml \
	examples/canary/routes.yaml \
	examples/canary/services.yaml \
	examples/canary/workloads.yaml \
	examples/egress/README.md \
	examples/egress/mesh.yaml \
	examples/egress/policy.yaml \
	examples/egress/services.yaml \
	examples/egress/workloads.yaml \
	examples/login/README.md \
	examples/login/mesh.yaml \
	examples/login/policy.yaml \
	examples/login/services.yaml \
	examples/login/workloads.yaml \
	examples/mixed/README.md \
	examples/mixed/mesh.yaml \
	examples/mixed/policy.yaml \
	examples/mixed/routes.yaml \
	examples/mixed/services.yaml \
	examples/mixed/workloads.yaml \
	examples/shop/README.md \
	examples/shop/mesh.yaml \
	examples/shop/policy.yaml \
	examples/shop/services.yaml \
	examples/shop/workloads.yaml \
	man/dashboard.png \
	modes/README.md \
	packaging/build-deb \
	packaging/build-rpm \
	packaging/count-checks \
	packaging/debian/changelog \
	packaging/debian/control \
	packaging/debian/copyright \
	packaging/debian/meshd.dirs \
	packaging/debian/meshd.postrm \
	packaging/debian/meshd.prerm \
	packaging/debian/rules \
	packaging/debian/source/format \
	packaging/demo \
	packaging/demo-lib \
	packaging/demo-mixed \
	packaging/demo-sidecars \
	packaging/demo-tunnels \
	packaging/image/Containerfile \
	packaging/image/Containerfile.dockerignore \
	packaging/image/README.md \
	packaging/image/values-ztunnel.yaml \
	packaging/packages.deb \
	packaging/packages.rpm \
	packaging/quickstart \
	packaging/rpm/meshd.spec \
	packaging/screenshot \
	packaging/systemd/meshd.default \
	packaging/systemd/meshd.service \
	packaging/systemd/meshd.sysusers \
	packaging/systemd/meshd.tmpfiles \
	src/README.md \
	tests/bench/bench.py \
	tests/bench/istiod.py \
	tests/bench/load.c \
	tests/bench/peers.py \
	tests/bench/picks.c \
	tests/bench/ways.py \
	tests/bench/wds.c \
	tests/interop/README.md \
	tests/interop/ambient.py \
	tests/interop/authzgen/main.go \
	tests/interop/browser.py \
	tests/interop/build \
	tests/interop/cluster \
	tests/interop/cluster.py \
	tests/interop/go.mod \
	tests/interop/go.sum \
	tests/interop/h2spec.txt \
	tests/interop/http/echo/main.go \
	tests/interop/http/get/main.go \
	tests/interop/http/go.mod \
	tests/interop/http/go.sum \
	tests/interop/inpodrules/main.go \
	tests/interop/istioenvoy.py \
	tests/interop/login/go.mod \
	tests/interop/login/go.sum \
	tests/interop/login/mockoidc/main.go \
	tests/interop/otlpserver/main.go \
	tests/interop/ratelimit/go.mod \
	tests/interop/ratelimit/go.sum \
	tests/interop/rds/main.go \
	tests/interop/routes.py \
	tests/interop/run \
	tests/interop/test_authz.py \
	tests/interop/test_badplane.py \
	tests/interop/test_balance.py \
	tests/interop/test_ca.py \
	tests/interop/test_cluster.py \
	tests/interop/test_dns.py \
	tests/interop/test_envoy.py \
	tests/interop/test_extauthz.py \
	tests/interop/test_http.py \
	tests/interop/test_image.py \
	tests/interop/test_istioctl.py \
	tests/interop/test_jwt.py \
	tests/interop/test_login.py \
	tests/interop/test_logs_envoy.py \
	tests/interop/test_multinetwork.py \
	tests/interop/test_names.py \
	tests/interop/test_retries.py \
	tests/interop/test_routes.py \
	tests/interop/test_samples.py \
	tests/interop/test_networks.py \
	tests/interop/test_observed.py \
	tests/interop/test_once_peers.py \
	tests/interop/test_otlp.py \
	tests/interop/test_outage.py \
	tests/interop/test_page.py \
	tests/interop/test_parts.py \
	tests/interop/test_ratelimit.py \
	tests/interop/test_promtool.py \
	tests/interop/test_rotation.py \
	tests/interop/test_sidecar_envoy.py \
	tests/interop/test_swap.py \
	tests/interop/test_upgrade.py \
	tests/interop/test_way_envoy.py \
	tests/interop/test_way_ztunnel.py \
	tests/interop/test_waypoints.py \
	tests/interop/test_wayworld.py \
	tests/interop/test_xds.py \
	tests/interop/test_zds.py \
	tests/interop/test_ztunnel.py \
	tests/interop/wayworld.py \
	tests/interop/zdsserver/linkname.s \
	tests/interop/zdsserver/main.go \
	tests/lint/banned \
	tests/lint/files \
	tests/lint/layers \
	tests/lint/manual \
	tests/lint/sizes \
	tests/lint/symbols \
	tests/scenario/balance.py \
	tests/scenario/dns.py \
	tests/scenario/harness.py \
	tests/scenario/httpapp.py \
	tests/scenario/once.py \
	tests/scenario/pki.py \
	tests/scenario/redirect.sh \
	tests/scenario/relay.py \
	tests/scenario/run \
	tests/scenario/test_accesslog.py \
	tests/scenario/test_app.py \
	tests/scenario/test_badpeer.py \
	tests/scenario/test_breaker.py \
	tests/scenario/test_certs.py \
	tests/scenario/test_churn.py \
	tests/scenario/test_cli.py \
	tests/scenario/test_dns.py \
	tests/scenario/test_egress.py \
	tests/scenario/test_explain.py \
	tests/scenario/test_http.py \
	tests/scenario/test_inpod.py \
	tests/scenario/test_goaway.py \
	tests/scenario/test_hop.py \
	tests/scenario/test_idle.py \
	tests/scenario/test_keepalive.py \
	tests/scenario/test_lb.py \
	tests/scenario/test_life.py \
	tests/scenario/test_local.py \
	tests/scenario/test_locality.py \
	tests/scenario/test_matrix.py \
	tests/scenario/test_metrics_http.py \
	tests/scenario/test_mirror.py \
	tests/scenario/test_names.py \
	tests/scenario/test_observe.py \
	tests/scenario/test_once.py \
	tests/scenario/test_outlier.py \
	tests/scenario/test_policy.py \
	tests/scenario/test_policy_http.py \
	tests/scenario/test_proxyproto.py \
	tests/scenario/test_reload.py \
	tests/scenario/test_reload_http.py \
	tests/scenario/test_replicas.py \
	tests/scenario/test_retry.py \
	tests/scenario/test_routing.py \
	tests/scenario/test_rolling.py \
	tests/scenario/test_service.py \
	tests/scenario/test_session.py \
	tests/scenario/test_settings.py \
	tests/scenario/test_sidecar.py \
	tests/scenario/test_sidecar_scope.py \
	tests/scenario/test_soak.py \
	tests/scenario/test_socks.py \
	tests/scenario/test_stream.py \
	tests/scenario/test_timeout.py \
	tests/scenario/test_tracing.py \
	tests/scenario/test_upgrade.py \
	tests/scenario/test_way.py \
	tests/scenario/test_way_bad.py \
	tests/scenario/test_way_policies.py \
	tests/scenario/test_waypoint.py \
	tests/scenario/wire.py \
	tests/scenario/zds.py \
	tests/unit/crd/README.md \
	tests/unit/crd/authz-invalid.yaml \
	tests/unit/crd/authz-valid.yaml \
	tests/unit/crd/destinationrule-invalid.yaml \
	tests/unit/crd/destinationrule-valid.yaml \
	tests/unit/crd/envoyfilter-invalid.yaml \
	tests/unit/crd/envoyfilter-valid.yaml \
	tests/unit/crd/peerauth-invalid.yaml \
	tests/unit/crd/peerauth-valid.yaml \
	tests/unit/crd/proxyconfig-invalid.yaml \
	tests/unit/crd/proxyconfig-valid.yaml \
	tests/unit/crd/reqauth-invalid.yaml \
	tests/unit/crd/reqauth-valid.yaml \
	tests/unit/crd/serviceentry-invalid.yaml \
	tests/unit/crd/serviceentry-valid.yaml \
	tests/unit/crd/telemetry-invalid.yaml \
	tests/unit/crd/telemetry-valid.yaml \
	tests/unit/crd/wasm-invalid.yaml \
	tests/unit/crd/wasm-valid.yaml \
	tests/unit/crd/workloadentry-invalid.yaml \
	tests/unit/crd/workloadentry-valid.yaml \
	tests/unit/crd/workloadgroup-invalid.yaml \
	tests/unit/crd/workloadgroup-valid.yaml
