# 64-bit ARM: Raspberry Pi 3 and later, most new gateways, ARM servers.
programs="weir weir-hub"
machine="AArch64"
deb=arm64
qemu=aarch64
