import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  editText,
  forwardEdits,
  forwardRulesIn,
  wantedRules,
  type ForwardRules,
} from '../../../src/linux/docker-user.ts'
import { dockers, WEB } from './example-state.ts'

const OURS = (from: string, to: string): string =>
  `-i ${from} -o ${to} -m comment --comment overlay-ts -j ACCEPT`

/** Does to a chain what iptables does. */
function edited(rules: readonly string[], wanted: readonly string[]): string[] {
  const chain = [...rules]
  for (const { chain: name, at, rule } of forwardEdits(dockers(rules), wanted)) {
    assert.equal(name, 'DOCKER-USER')
    if (at !== null) {
      assert(at <= chain.length + 1, `iptables refuses index ${at} in a chain of ${chain.length}`)
      chain.splice(at - 1, 0, rule)
    } else {
      assert(chain.includes(rule), `iptables has no rule ${rule}`)
      chain.splice(chain.indexOf(rule), 1)
    }
  }
  return chain
}

test('the chains are found in the filter table only', () => {
  const saved = [
    '*nat',
    ':DOCKER-USER - [0:0]',
    'COMMIT',
    '*filter',
    ':FORWARD DROP [0:0]',
    ':DOCKER-USER - [0:0]',
    '-A FORWARD -j DOCKER-USER',
    '-A DOCKER-USER -j RETURN',
    'COMMIT',
    '',
  ]
  assert.deepEqual(forwardRulesIn(saved.join('\n')), dockers(['-j RETURN']))
  assert.equal(forwardRulesIn(saved.slice(0, 3).join('\n')), null)
  assert.equal(forwardRulesIn(''), null)
  const others = forwardRulesIn('*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n')
  assert.deepEqual(others?.chains, { 'DOCKER-USER': null, FORWARD: null })
  assert.equal(others.policy, 'ACCEPT')
})

/** Rules after somebody else has rewritten them. */
function rewritten(changes: {
  policy?: string
  FORWARD?: readonly string[]
  user?: readonly string[] | null
}): ForwardRules {
  const { policy = 'DROP', FORWARD = [], user = null } = changes
  return { backend: 'iptables', policy, chains: { FORWARD, 'DOCKER-USER': user } }
}

const texts = (have: ForwardRules, wanted: readonly string[]): string[] =>
  forwardEdits(have, wanted).map(editText)

test('where the way to the chain is gone and forwarding is refused, our rules stand in FORWARD', () => {
  const ours = OURS('a', 'b')
  const filter = '-i eth1 -j DROP'
  assert.deepEqual(texts(rewritten({}), [ours]), [`-I FORWARD 1 ${ours}`])
  assert.deepEqual(texts(rewritten({ FORWARD: [filter, '-j ufw'], user: [ours] }), [ours]), [
    `-D DOCKER-USER ${ours}`,
    `-I FORWARD 2 ${ours}`,
  ])
  const rejecting = rewritten({ policy: 'ACCEPT', FORWARD: [filter, '-j REJECT --reject-with x'] })
  assert.deepEqual(texts(rejecting, [ours]), [`-I FORWARD 2 ${ours}`])
})

test('they go back when Docker has made its chain anew, and nowhere where all is let through', () => {
  const ours = OURS('a', 'b')
  const back = rewritten({ FORWARD: ['-j DOCKER-USER', ours], user: ['-j RETURN'] })
  assert.deepEqual(texts(back, [ours]), [`-I DOCKER-USER 1 ${ours}`, `-D FORWARD ${ours}`])
  assert.deepEqual(texts(rewritten({ policy: 'ACCEPT', FORWARD: ['-i x -j DROP'] }), [ours]), [])
  assert.deepEqual(texts(rewritten({ FORWARD: [ours] }), []), [`-D FORWARD ${ours}`])
})

test('each pair of links is accepted once, with each bridge to itself', () => {
  assert.deepEqual(wantedRules({ ...WEB, allowed: [...WEB.allowed, ...WEB.allowed] }), [
    OURS('ov-b1111111111', 'ov-b1111111111'),
    OURS('ov-b1111111111', 'ov-tun'),
    OURS('ov-tun', 'ov-b1111111111'),
  ])
})

test('our rules stand behind those of an administrator and before the end', () => {
  const rules = ['-s 10.1.1.1/32 -j DROP', '-j RETURN']
  assert.deepEqual(edited(rules, [OURS('a', 'b')]), [rules[0], OURS('a', 'b'), rules[1]])
  assert.deepEqual(edited([], [OURS('a', 'b')]), [OURS('a', 'b')])
})

test('rules of ours that are stale, doubled or behind the end are put right', () => {
  const stale = '-i a -o x -m comment --comment "overlay-ts" -j ACCEPT'
  const similar = '-i a -m comment --comment overlay-ts-of-mine -j DROP'
  const rules = [OURS('a', 'b'), similar, stale, OURS('a', 'b'), '-j RETURN', OURS('c', 'd')]
  const chain = edited(rules, [OURS('a', 'b'), OURS('c', 'd')])
  assert.deepEqual(
    chain.toSorted(),
    [similar, OURS('a', 'b'), OURS('c', 'd'), '-j RETURN'].toSorted(),
  )
  assert.equal(chain.at(-1), '-j RETURN')
})

test('whatever the chain was, ours are in it once and before the end, others are as they were', () => {
  const other = fc.constantFrom('-s 10.1.1.1/32 -j DROP', '-i eth0 -j LOG', '-j RETURN')
  const ours = fc.constantFrom(OURS('a', 'b'), OURS('b', 'a'), OURS('c', 'd'), OURS('d', 'c'))
  fc.assert(
    fc.property(fc.array(fc.oneof(other, ours)), fc.uniqueArray(ours), (rules, wanted) => {
      const chain = edited(rules, wanted)
      const isOurs = (rule: string): boolean => rule.includes('overlay-ts')
      assert.deepEqual(chain.filter(isOurs).toSorted(), wanted.toSorted())
      assert.deepEqual(
        chain.filter((rule) => !isOurs(rule)),
        rules.filter((rule) => !isOurs(rule)),
      )
      const end = chain.indexOf('-j RETURN')
      if (end !== -1) assert(!chain.slice(end).some(isOurs))
      assert.deepEqual(forwardEdits(dockers(chain), wanted), [])
    }),
  )
})

test('an edit reads as one types it', () => {
  assert.equal(editText({ chain: 'DOCKER-USER', at: 2, rule: '-j X' }), '-I DOCKER-USER 2 -j X')
  assert.equal(editText({ chain: 'FORWARD', at: null, rule: '-j X' }), '-D FORWARD -j X')
})
