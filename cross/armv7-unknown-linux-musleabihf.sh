# 32-bit ARM with hardware floating point: older gateways, BeagleBone, Raspberry Pi 2.
programs="weir weir-hub"
machine="ARM"
deb=armhf
qemu=arm
