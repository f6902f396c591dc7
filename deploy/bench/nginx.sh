# shellcheck shell=bash disable=SC2034,SC2154 # bench.sh reads what is set here, and sets what is read
# Sourced by bench.sh: the shortest answer, against nginx.

PEER=nginx
QUICK_SECONDS=1
# Name in load.lua, connections, label.
LOADS=(
    "pipeline 1 1 connection"
    "pipeline 64 64 connections"
    "pipeline 512 512 connections"
    "pipeline-16 512 512 connections, pipelined 16 deep"
)

# start_both OPTION...
start_both() {
    start_pollux "$@"
    write_nginx_config
    start_peer nginx -p "$scratch" -c "$scratch/nginx.conf"
}

write_nginx_config() {
    cat >"$scratch/nginx.conf" <<NGINX
daemon off;
user root;
worker_processes 1;
worker_cpu_affinity 1$(printf '0%.0s' $(seq "$SERVER_CORE"));
error_log stderr warn;
pid $scratch/nginx.pid;
events { worker_connections 2048; multi_accept on; }
http {
    access_log off;
    client_body_temp_path $scratch/body;
    proxy_temp_path $scratch/proxy;
    fastcgi_temp_path $scratch/fastcgi;
    uwsgi_temp_path $scratch/uwsgi;
    scgi_temp_path $scratch/scgi;
    default_type text/plain;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    server {
        listen $ADDRESS:8080 backlog=4096;
        location = /pipeline { return 200 "ok"; }
    }
}
NGINX
}

# Both have answered "ok" when they started, and do so before each measurement.
compare_answers() { :; }

print_notes() { :; }
