import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pluginReference } from '../../../package/reference.ts'

const GOOD = [
  'registry.example.com/overlay-ts',
  'localhost:5000/overlay-ts',
  '172.18.10.95:5000/team/overlay-ts:1.0',
  'somebody/overlay-ts:latest',
  'overlay-ts:0.1',
]
const HIDING = ['overlay-ts', 'overlay-ts:latest', 'docker.io/overlay-ts', 'library/overlay-ts']
const WRONG = ['', '-t', 'a b', 'https://registry.example.com/overlay-ts', 'overlay-ts:']

test('a plugin is named by a registry, a path or a tag', () => {
  for (const name of GOOD) assert.equal(pluginReference(name), name)
})

test('a name that Docker would find in place of the driver is refused', () => {
  for (const name of HIDING) {
    assert.throws(() => pluginReference(name), /cannot be named/, name)
  }
})

test('what is no name is refused, with one that is', () => {
  for (const name of WRONG) {
    assert.throws(() => pluginReference(name), /wanted a name such as registry\.example\.com/, name)
  }
})
