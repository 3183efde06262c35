import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chainIn, editsFor, editText, wantedRules } from '../../../src/linux/docker-user.ts'
import { WEB } from './example-state.ts'

const OURS = (from: string, to: string): string =>
  `-i ${from} -o ${to} -m comment --comment overlay-ts -j ACCEPT`

/** Does to a chain what iptables does. */
function edited(rules: readonly string[], wanted: readonly string[]): string[] {
  const chain = [...rules]
  for (const { at, rule } of editsFor({ backend: 'iptables', rules }, wanted)) {
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

test('the chain is found in the filter table only', () => {
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
  assert.deepEqual(chainIn(saved.join('\n'))?.rules, ['-j RETURN'])
  assert.equal(chainIn(saved.slice(0, 3).join('\n')), null)
  assert.equal(chainIn(''), null)
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
      assert.deepEqual(editsFor({ backend: 'iptables', rules: chain }, wanted), [])
    }),
  )
})

test('an edit reads as one types it', () => {
  assert.equal(editText({ at: 2, rule: '-j X' }), '-I DOCKER-USER 2 -j X')
  assert.equal(editText({ at: null, rule: '-j X' }), '-D DOCKER-USER -j X')
})
