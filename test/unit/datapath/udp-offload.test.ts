import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isAtLeast } from '../../../src/datapath/kernel-release.ts'
import { isWanted, joinsSoundly, segmentsSoundly } from '../../../src/datapath/udp-offload.ts'

const SEGMENTS: readonly [release: string, soundly: boolean][] = [
  ['4.18.0-553.el8_10.x86_64', true],
  ['6.18.44', true],
  ['6.19.99-generic', true],
  ['7.0.0-rc1', false],
  ['7.0-rc1', false],
  ['7.0.0', false],
  ['7.0.12-1-pve', false],
  ['7.1-rc5', false],
  ['7.1.0-rc5-amd64', false],
  ['7.1.4', false],
  ['7.1.5', true],
  ['7.1.5-arch1-1', true],
  ['7.1.10', true],
  ['7.2.0-rc1', true],
  ['8.0.0', true],
  ['10.0.1', true],
]

for (const [release, soundly] of SEGMENTS) {
  test(`Linux ${release} ${soundly ? 'segments' : 'does not segment'} soundly`, () => {
    assert.equal(segmentsSoundly(release), soundly)
  })
}

const JOINS: readonly [release: string, soundly: boolean][] = [
  ['4.19.0-27-amd64', false],
  ['5.4.0-216-generic', false],
  ['5.11.22', false],
  ['5.12.0-rc1', true],
  ['5.12', true],
  ['5.15.167.4-microsoft-standard-WSL2', true],
  ['6.1.0-42-amd64', true],
]

for (const [release, soundly] of JOINS) {
  test(`Linux ${release} ${soundly ? 'joins' : 'does not join'} soundly`, () => {
    assert.equal(joinsSoundly(release), soundly)
  })
}

test('versions are compared as numbers, part by part', () => {
  assert.ok(isAtLeast('6.8.5', 6, 8, 5))
  assert.ok(!isAtLeast('6.8.4', 6, 8, 5))
  assert.ok(!isAtLeast('6.8', 6, 8, 5))
  assert.ok(isAtLeast('6.10.0', 6, 8, 5))
  assert.ok(isAtLeast('7.0.0', 6, 8, 5))
  assert.ok(!isAtLeast('5.99.99', 6, 8, 5))
})

test('a name that is no version is older than any', () => {
  assert.ok(!isAtLeast('unknown', 0, 0, 1))
  assert.ok(!joinsSoundly(''))
})

test('a choice overrules the version, and automatic does not', () => {
  assert.ok(isWanted('on', false))
  assert.ok(!isWanted('off', true))
  assert.ok(isWanted('auto', true))
  assert.ok(!isWanted('auto', false))
})
