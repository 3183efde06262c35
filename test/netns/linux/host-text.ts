import { sh } from '../../support/netns.ts'

/** Everything a product could leave behind in a network namespace, as text without counts, ages and order. */
export async function hostText(): Promise<string> {
  const text = await sh(
    'ip address; ip rule; ip route show table all; nft -s list ruleset; iptables-save; ip6tables-save',
  )
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.replace(/\[\d+:\d+\]|^\d+: /, '').trimEnd())
    .sort()
    .join('\n')
}
