import { enterOwnNetns, sh } from '../../support/netns.ts'
enterOwnNetns()
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { applyHostState } from '../../../src/linux/apply.ts'
import { observeClosingChains } from '../../../src/linux/closing-chains.ts'
import type { HostWatch } from '../../../src/linux/follow-lines.ts'
import { EMPTY_HOST_STATE } from '../../../src/linux/host-state.ts'
import { watchRules } from '../../../src/linux/rule-watch.ts'
import { waitFor } from '../../support/wait.ts'
import { DUAL_NETWORK, ONE_NETWORK } from './example-host.ts'

let told = 0
let watch: HostWatch

before(async () => {
  await applyHostState(ONE_NETWORK)
  watch = watchRules(() => told++)
  // The program subscribes some time after it starts: only a change that is told proves it.
  await waitFor(
    async () => {
      await sh('nft add table inet other; nft delete table inet other')
      return told > 0
    },
    { what: 'the first change to be told', every: 300 },
  )
})

after(async () => {
  watch.stop()
  await applyHostState(EMPTY_HOST_STATE)
})

/** Until nothing that is under way can still be told. */
async function quiet(): Promise<void> {
  let last = -1
  while (last !== told) {
    last = told
    await sleep(500)
  }
}

async function tells(line: string): Promise<void> {
  await quiet()
  const before = told
  await sh(line)
  await waitFor(() => told > before, { what: `"${line}" to be told`, timeout: 30_000 })
}

test('whatever takes our rules away is told', async () => {
  await tells('nft delete element inet overlay-ts same_bridge { "ov-b1" . "ov-b1" }')
  await tells('nft flush chain inet overlay-ts forward')
  await tells('nft flush ruleset')
  await tells('iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN')
  await tells('iptables -F DOCKER-USER')
  await tells('iptables -P FORWARD DROP')
})

test('the older backend of iptables, which tells nobody, is looked at', async () => {
  await tells('iptables-legacy -N DOCKER-USER; iptables-legacy -A DOCKER-USER -j RETURN')
  await tells('iptables-legacy -I DOCKER-USER -i eth0 -j DROP')
  await tells('iptables-legacy -F DOCKER-USER')
  await sh('iptables-legacy -X DOCKER-USER')
})

test('the rules of IPv6 are looked at with both backends', async () => {
  await tells('ip6tables -N DOCKER-USER; ip6tables -A DOCKER-USER -j RETURN')
  await tells('ip6tables -P FORWARD DROP')
  await tells('ip6tables-legacy -N DOCKER-USER')
  await tells('ip6tables-legacy -I DOCKER-USER -i eth0 -j DROP')
  await sh('ip6tables-legacy -F DOCKER-USER; ip6tables-legacy -X DOCKER-USER')
})

test('a chain of others that refuses what overlays send is found, until it names their links', async () => {
  await sh('nft flush ruleset')
  assert.deepEqual(await observeClosingChains(), [])
  await sh(`nft -f - <<'END'
    table inet guard {
      set many { type ipv4_addr; elements = { 192.0.2.1 } }
      chain input { type filter hook input priority 0; policy drop; }
      chain forward { type filter hook forward priority 0; policy drop; ip saddr @many accept; }
    }
    table ip second {
      chain way { type filter hook forward priority 5; policy accept; ct state established accept; counter reject; }
    }
    table ip third {
      chain way { type filter hook forward priority 6; policy accept; ip saddr 192.0.2.1 drop; }
    }
END`)
  assert.deepEqual(await observeClosingChains(), [
    { family: 'inet', table: 'guard', name: 'forward', by: 'policy' },
    { family: 'ip', table: 'second', name: 'way', by: 'last rule' },
  ])
  await sh('nft insert rule inet guard forward iifname "ov-*" oifname "ov-*" accept')
  await sh('nft insert rule ip second way iifname "ov-*" accept')
  assert.deepEqual(await observeClosingChains(), [])
  await sh('nft flush ruleset; iptables -P FORWARD DROP')
  assert.deepEqual(await observeClosingChains(), [], 'iptables lets our rules in')
})

test('a chain for IPv6 alone is found where some network has IPv6', async () => {
  await sh(`nft -f - <<'END'
    flush ruleset
    table ip6 guard {
      chain forward { type filter hook forward priority 0; policy drop; }
    }
END`)
  await applyHostState(ONE_NETWORK)
  assert.deepEqual(await observeClosingChains(), [])
  await applyHostState(DUAL_NETWORK)
  const found = { family: 'ip6', table: 'guard', name: 'forward', by: 'policy' }
  assert.deepEqual(await observeClosingChains(), [found])
  await sh('nft insert rule ip6 guard forward iifname "ov-*" oifname "ov-*" accept')
  assert.deepEqual(await observeClosingChains(), [])
  await sh('nft delete table ip6 guard; ip6tables -P FORWARD DROP')
  assert.deepEqual(await observeClosingChains(), [], 'ip6tables lets our rules in')
  await sh('nft flush ruleset')
})
