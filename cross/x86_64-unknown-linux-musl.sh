# PCs, servers, most industrial gateways.
programs="weir weir-hub"
machine="X86-64"
deb=amd64
qemu=x86_64
