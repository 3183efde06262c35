import type { Machine } from './machine.ts'

/** The sysctls of a host's network that this product or Docker writes. */
const SYSCTLS =
  '/(ip_forward|forwarding|proxy_arp|proxy_delay|proxy_qlen|proxy_ndp|rp_filter|accept_local|arp_ignore|arp_announce|route_localnet|src_valid_mark|send_redirects|accept_ra|disable_ipv6|gc_thresh[123]|bridge-nf-call-[a-z0-9]*)$'

/** One shell script for all parts: entering a machine costs more than the programs themselves. */
const SCRIPT = `
part() { printf '\\n== %s\\n' "$1"; }
part links; ip -details -oneline link show
part addresses; ip -oneline address show
part routes; ip route show table all; ip -6 route show table all
part rules; ip rule show; ip -6 rule show
part neighbours; ip neigh show nud permanent; ip neigh show proxy; ip -6 neigh show proxy
part nftables; nft --stateless list ruleset
part iptables; for p in iptables-legacy-save ip6tables-legacy-save; do $p 2>/dev/null; done
part sysctls; find /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/bridge -type f 2>/dev/null |
  grep -E '${SYSCTLS}' | sort | xargs grep -H '' 2>/dev/null | sed 's,^/proc/sys/,,'
part 'plugin sockets'; ls -A /run/docker/plugins
part 'plugin state'; cd "$STATE_DIR" 2>/dev/null && find . -type f | sort
true
`

/**
 * Everything a network plugin can leave behind on a host, as text that is the same whenever the state is: links, addresses,
 * routes of all tables, rules, permanent neighbours, the whole rule set without counters, sysctls, the plugin's files.
 */
export async function hostText(machine: Machine, stateDir: string): Promise<string> {
  return stableText(await machine.exec(['env', `STATE_DIR=${stateDir}`, 'sh', '-c', SCRIPT]))
}

/** Removes what differs between two looks at one state: interface numbers, lifetimes, counters. */
export function stableText(raw: string): string {
  return raw
    .split(/^(?=== )/m)
    .map((part) => {
      const [title = '', ...lines] = part.trim().split('\n')
      const body = lines.map(stableLine).filter((line) => line !== '')
      // Rule sets mean their order; the kernel lists everything else by chance or by age.
      if (title !== '== nftables' && title !== '== iptables') body.sort()
      return [title, ...body].join('\n')
    })
    .join('\n\n')
    .trim()
}

function stableLine(line: string): string {
  return line
    .replace(/^\d+: /, '')
    .replace(/@if\d+/, '@peer')
    .replace(/\\/g, ' ')
    .replace(/ (valid_lft|preferred_lft|expires) \S+/g, '')
    .replace(/ (hello_timer|tcn_timer|topology_change_timer|gc_timer) +\S+/g, '')
    .replace(/ (link-netnsid|link-netns|qlen) \S+/g, '')
    .replace(/ (tentative|dadfailed|noprefixroute|linkdown)\b/g, '')
    .replace(/ state (UP|DOWN|LOWERLAYERDOWN|UNKNOWN)/, '')
    .replace(/<[A-Z_,-]+>/, (flags) => `<${/\bUP\b/.test(flags) ? 'UP' : 'DOWN'}>`)
    .replace(/^(:\S+ \S+) \[\d+:\d+\]$/, '$1')
    .replace(/^#.*/, '')
    .replace(/\s+/g, (space) => (space.startsWith('\t') ? space : ' '))
    .trimEnd()
}
