# 32-bit ARM with hardware floating point: older gateways, BeagleBone, Raspberry Pi 2.
programs="weir"
machine="ARM"
deb=armhf
qemu=arm
