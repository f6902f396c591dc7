#!/usr/bin/env bash
# Runs in the virtual machine: from two NICs of the kernel's to one served from, and back.
set -uo pipefail
. /rehearsal/line.sh
PORT=0000:00:10.0
KERNEL=0000:00:11.0
cd /opt/pollux
netdev() { ls "/sys/bus/pci/devices/$1/net" "/sys/bus/pci/devices/$1"/virtio*/net 2>/dev/null | grep -v : | head -n1; }
note "uname $(uname -r)"
ls -la /sys/bus/pci/devices /sys/kernel/iommu_groups
ip link
K=$(netdev $KERNEL); P=$(netdev $PORT)
echo "kernel $K port $P"
ip addr add 198.19.0.2/24 dev $K; ip link set $K up; ip route add default via 198.19.0.1
ask ping 198.19.0.2
./hugepages.sh reserve 320 && ok "hugepages.sh reserve"
modprobe vfio-pci
echo vfio-pci > /sys/bus/pci/devices/$PORT/driver_override
echo $PORT > /sys/bus/pci/devices/$PORT/driver/unbind
echo $PORT > /sys/bus/pci/drivers_probe
ls -l /sys/bus/pci/devices/$PORT/driver
(time pollux serve --config deploy/site.toml --link pci:$PORT --address 198.18.0.2/24 --cores 0-1 --idle adaptive --set limits.connections=1024 ) >/tmp/serve.log 2>&1 &
S=$!
for i in $(seq 300); do grep -q ready /tmp/serve.log && break; kill -0 $S || break; sleep 0.2; done
cat /tmp/serve.log
ask fetch 198.18.0.2
pollux stats
pollux stop
wait $S
cat /tmp/serve.log
END
