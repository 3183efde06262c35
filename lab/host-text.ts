import { linkLines } from './link-lines.ts'
import type { Machine } from './machine.ts'

/** The sysctls of a host's network that this product or Docker writes. */
const SYSCTLS =
  '/(ip_forward|forwarding|proxy_arp|proxy_delay|proxy_qlen|proxy_ndp|rp_filter|accept_local|arp_ignore|arp_announce|route_localnet|src_valid_mark|send_redirects|accept_ra|disable_ipv6|gc_thresh[123]|bridge-nf-call-[a-z0-9]*)$'

/** One shell script for all parts: entering a machine costs more than the programs themselves. */
const SCRIPT = `
part() { printf '\\n== %s\\n' "$1"; }
part links; ip -json -details link show
part addresses; ip -oneline address show
part 'IPv4 routes'; ip route show table all
part 'IPv6 routes'; ip -6 route show table all
part 'IPv4 rules'; ip rule show
part 'IPv6 rules'; ip -6 rule show
part neighbours; ip neigh show nud permanent; ip neigh show proxy; ip -6 neigh show proxy
part nftables; nft --stateless list ruleset
part iptables; for p in iptables-legacy-save ip6tables-legacy-save; do $p 2>/dev/null; done
part sysctls; find /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/bridge -type f 2>/dev/null |
  grep -E '${SYSCTLS}' | sort | xargs grep -H '' 2>/dev/null | sed 's,^/proc/sys/,,'
part 'plugin sockets'; ls -A /run/docker/plugins
part 'plugin state'; cd "$STATE_DIR" 2>/dev/null && find . -type f ! -name "*.tmp" | sort
true
`

/** Rule sets mean their order; the kernel lists everything else by chance or by age. */
const ORDERED = new Set(['== nftables', '== iptables'])

/**
 * Everything a network plugin can leave behind on a host, as text that is the same whenever the state is: links, addresses,
 * routes of all tables, rules, permanent neighbours, the whole rule set without counters, sysctls, the plugin's files.
 * A file that is being written (`.tmp`) is not there yet. IPv6 link-local addresses and their routes are left out: the kernel
 * makes and drops them with a link's carrier.
 */
export async function hostText(machine: Machine, stateDir: string): Promise<string> {
  return stableText(await machine.exec(['env', `STATE_DIR=${stateDir}`, 'sh', '-c', SCRIPT]))
}

/** The script's output without what differs between two looks at one state. */
export function stableText(raw: string): string {
  return raw
    .split(/^(?=== )/m)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [title = '', ...lines] = part.split('\n')
      const body = title === '== links' ? linkLines(lines.join('\n')) : lines.map(stableLine)
      const kept = body.filter((line) => line !== '')
      return [title, ...(ORDERED.has(title) ? kept : kept.sort())].join('\n')
    })
    .join('\n\n')
}

/** Interface numbers, lifetimes, passing flags and counters go; so does white space that only aligns. */
function stableLine(line: string): string {
  if (/\b(fe80:|ff00::\/8)/.test(line)) return ''
  return line
    .replace(/^\d+: /, '')
    .replace(/\\/g, '')
    .replace(/ (valid_lft|preferred_lft|expires) \S+/g, '')
    .replace(/ (tentative|dadfailed|linkdown)\b/g, '')
    .replace(/^(:\S+ \S+) \[\d+:\d+\]$/, '$1')
    .replace(/^#.*/, '')
    .replace(/ +/g, ' ')
    .trimEnd()
}
