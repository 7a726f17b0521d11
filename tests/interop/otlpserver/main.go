// SPDX-License-Identifier: Apache-2.0

// otlpserver GRPC HTTP [CERT KEY] takes traces at two addresses, as a collector does: with grpc-go and OpenTelemetry's own messages. Each span
// is one JSON object a line on stdout, with "over", the headers that came with it and the attributes of its resource. With CERT and KEY
// both ports speak TLS.
package main

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

func attributes(pairs []*common.KeyValue) map[string]any {
	m := map[string]any{}
	for _, p := range pairs {
		switch v := p.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[p.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			m[p.Key] = v.IntValue
		default:
			log.Fatalf("%s: %T", p.Key, v)
		}
	}
	return m
}

var lines = make(chan any, 1000)

func take(over string, headers map[string][]string, r *collector.ExportTraceServiceRequest) {
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				lines <- map[string]any{
					"over": over, "headers": headers, "resource": attributes(rs.Resource.GetAttributes()), "scope": ss.Scope.GetName(),
					"trace": hex.EncodeToString(s.TraceId), "span": hex.EncodeToString(s.SpanId), "parent": hex.EncodeToString(s.ParentSpanId),
					"name": s.Name, "kind": s.Kind.String(), "start": s.StartTimeUnixNano, "end": s.EndTimeUnixNano,
					"status": s.Status.GetCode().String(), "message": s.Status.GetMessage(), "attributes": attributes(s.Attributes),
				}
			}
		}
	}
}

type service struct {
	collector.UnimplementedTraceServiceServer
}

func (service) Export(ctx context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	take("grpc", headers, r)
	return &collector.ExportTraceServiceResponse{}, nil
}

func post(w http.ResponseWriter, rq *http.Request) {
	r := &collector.ExportTraceServiceRequest{}
	body, err := io.ReadAll(rq.Body)
	if err == nil {
		err = proto.Unmarshal(body, r)
	}
	if err != nil || rq.Method != "POST" || rq.URL.Path != "/v1/traces" || rq.Header.Get("Content-Type") != "application/x-protobuf" {
		log.Printf("%v %v %v: %v", rq.Method, rq.URL, rq.Header, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	take("http", rq.Header, r)
	body, _ = proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(body)
}

func listen(address string) net.Listener {
	l, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return l
}

func main() {
	var options []grpc.ServerOption
	overHTTP := listen(os.Args[2])
	if len(os.Args) > 4 {
		cert, err := tls.LoadX509KeyPair(os.Args[3], os.Args[4])
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})))
		overHTTP = tls.NewListener(overHTTP, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}})
	}
	s := grpc.NewServer(options...)
	collector.RegisterTraceServiceServer(s, service{})
	go func() { log.Fatal(s.Serve(listen(os.Args[1]))) }()
	go func() { log.Fatal(http.Serve(overHTTP, http.HandlerFunc(post))) }()
	out := json.NewEncoder(os.Stdout)
	for l := range lines {
		if out.Encode(l) != nil {
			return
		}
	}
}
