import type { IpFamily } from '../net/ip.ts'
import { hasLegacyTables, IPTABLES, saveRules } from './docker-user.ts'
import { followLines, type HostWatch } from './follow-lines.ts'
import { LINK_PREFIX, NFT_TABLE } from './host-state.ts'

const FAMILIES: readonly IpFamily[] = ['ipv4', 'ipv6']

/** The older backend of iptables tells nobody of its changes (the newer one is part of nftables, which does). */
const LEGACY_EVERY_MS = 5000

/**
 * Tells when firewall rules on the way of forwarded packets have changed, whoever changed them, within
 * seconds. Between a flush and the repair nothing else keeps overlays of one host apart.
 */
export function watchRules(onChange: () => void): HostWatch {
  const events = followLines({ program: 'nft', args: ['monitor'], isNews: isRuleNews }, onChange)
  let last = ''
  let isLooking = false
  const look = async (): Promise<void> => {
    const families = FAMILIES.filter(hasLegacyTables)
    if (isLooking || families.length === 0) return
    isLooking = true
    const rules = (await Promise.all(families.map(legacyRules))).join('')
    isLooking = false
    if (rules !== last) onChange()
    last = rules
  }
  const timer = setInterval(() => void look(), LEGACY_EVERY_MS)
  return {
    stop() {
      clearInterval(timer)
      events.stop()
    },
  }
}

/**
 * Whether a line of `nft monitor` is worth a look: it is about our table, about a rule that names our
 * links, about a chain on the way of forwarded packets, or tables and chains are removed. A deleted rule
 * is told by its chain and number alone.
 */
export function isRuleNews(line: string): boolean {
  return NEWS.test(line)
}

const NEWS = new RegExp(
  `${NFT_TABLE}|"${LINK_PREFIX}|forward|DOCKER-USER|^delete (table|chain) `,
  'i',
)

/** Without comments and counters; "" when they cannot be read, which the next whole look will say. */
async function legacyRules(family: IpFamily): Promise<string> {
  try {
    const saved = await saveRules(`${IPTABLES[family]}-legacy`)
    return saved.replace(/^#.*\n/gm, '').replace(/ \[\d+:\d+\]$/gm, '')
  } catch {
    return ''
  }
}
