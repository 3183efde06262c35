import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCidr, prefixOf } from '../../../src/net/cidr.ts'
import { parseCidr6, prefixOf6 } from '../../../src/net/cidr6.ts'
import { parseIpv4 } from '../../../src/net/ipv4.ts'
import { formatIpv6 } from '../../../src/net/ipv6.ts'
import { createKeyspace } from '../../../src/store/keyspace.ts'
import { isOverlayName, parseOverlayName } from '../../../src/store/overlay-name.ts'
import { keyspace } from './view-support.ts'

const ip = fc.nat(0xffff_ffff)
const cidr = fc
  .tuple(ip, fc.integer({ min: 0, max: 32 }))
  .map(([at, length]) => prefixOf(at, length))
const cidr6 = fc
  .tuple(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), fc.nat(128))
  .map(([at, length]) => prefixOf6(at, length))
const name = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/)

test('keys are spelled as flannel spells them', () => {
  const flannel = createKeyspace('/coreos.com/network/')
  assert.equal(flannel.config(), '/coreos.com/network/config')
  assert.equal(
    flannel.subnet(parseCidr('10.32.5.0/24')),
    '/coreos.com/network/subnets/10.32.5.0-24',
  )
  assert.equal(
    flannel.subnet(parseCidr('10.5.52.0/24'), parseCidr6('fc00:0:0:1::/64')),
    '/coreos.com/network/subnets/10.5.52.0-24&fc00:0:0:1::-64',
  )
  assert.equal(
    keyspace.endpoint(parseCidr('10.32.5.0/24'), parseIpv4('10.32.5.2')),
    '/overlay-ts/endpoints/10.32.5.0-24/10.32.5.2',
  )
})

test('every key that is built is read back as what it was built from', () => {
  fc.assert(
    fc.property(cidr, cidr6, ip, name, (subnet, subnet6, any, word) => {
      const inside = (subnet.base + (any % 2 ** (32 - subnet.length))) >>> 0
      const read = keyspace.parse.bind(keyspace)
      assert.deepEqual(read(keyspace.subnet(subnet)), { kind: 'subnet', subnet, subnet6: null })
      assert.deepEqual(read(keyspace.subnet(subnet, subnet6)), { kind: 'subnet', subnet, subnet6 })
      assert.deepEqual(read(keyspace.holder(subnet)), { kind: 'holder', subnet })
      assert.deepEqual(read(keyspace.endpoint(subnet, inside)), {
        kind: 'endpoint',
        subnet,
        ip: inside,
      })
      assert.deepEqual(read(keyspace.overlay(word)), { kind: 'overlay', name: word })
      assert.deepEqual(read(keyspace.host(word)), { kind: 'host', hostId: word })
      assert.deepEqual(read(keyspace.privatePrefixes(word)), { kind: 'private', hostId: word })
    }),
  )
  assert.deepEqual(keyspace.parse(keyspace.config()), { kind: 'config' })
  assert.deepEqual(keyspace.parse(keyspace.allocator()), { kind: 'allocator' })
})

test('reading any text gives a key that is spelled so, or nothing', () => {
  const nearlyTwo = fc
    .tuple(cidr, fc.constantFrom('&', '&&', '-', '/'), cidr6, fc.constantFrom('', '0', '&', ' '))
    .map(
      ([a, between, b, end]) =>
        `${keyspace.subnet(a)}${between}${formatIpv6(b.address).toUpperCase()}-${b.length}${end}`,
    )
  const text = fc.oneof(
    fc.string(),
    nearlyTwo,
    fc
      .tuple(fc.constantFrom('subnets', 'holders', 'endpoints', 'hosts'), fc.string())
      .map(([folder, rest]) => `/overlay-ts/${folder}/${rest}`),
  )
  fc.assert(
    fc.property(text, (key) => {
      const parsed = keyspace.parse(key)
      if (parsed?.kind === 'subnet') {
        assert.equal(keyspace.subnet(parsed.subnet, parsed.subnet6), key)
      }
      if (parsed?.kind === 'holder') assert.equal(keyspace.holder(parsed.subnet), key)
      if (parsed?.kind === 'host') assert.equal(keyspace.host(parsed.hostId), key)
    }),
  )
})

test('keys that are nearly right are not keys', () => {
  const wrong = [
    '/overlay-ts',
    '/overlay-ts/',
    '/overlay-ts/config/',
    '/overlay-ts/configs',
    '/overlay-tsx/config',
    '/overlay-ts/subnets/10.32.5.0/24',
    '/overlay-ts/subnets/10.32.5.1-24',
    '/overlay-ts/subnets/10.32.5.0-33',
    '/overlay-ts/subnets/10.32.5.0-024',
    '/overlay-ts/subnets/010.32.5.0-24',
    '/overlay-ts/subnets/10.32.5-24',
    '/overlay-ts/subnets/10.32.5.0-24/x',
    '/overlay-ts/subnets/10.32.5.0-24&',
    '/overlay-ts/subnets/&fd00::-64',
    '/overlay-ts/subnets/fd00::-64',
    '/overlay-ts/subnets/fd00::-64&10.32.5.0-24',
    '/overlay-ts/subnets/10.32.5.0-24&fd00::',
    '/overlay-ts/subnets/10.32.5.0-24&fd00::1-64',
    '/overlay-ts/subnets/10.32.5.0-24&fd00::-129',
    '/overlay-ts/subnets/10.32.5.0-24&FD00::-64',
    '/overlay-ts/subnets/10.32.5.0-24&fd00:0::-64',
    '/overlay-ts/subnets/10.32.5.0-24&fd00::-64&fd01::-64',
    '/overlay-ts/holders/10.32.5.0-24&fd00::-64',
    '/overlay-ts/endpoints/10.32.5.0-24&fd00::-64/10.32.5.2',
    '/overlay-ts/endpoints/10.32.5.0-24/10.32.6.2',
    '/overlay-ts/endpoints/10.32.5.0-24',
    '/overlay-ts/overlays/-web',
    '/overlay-ts/overlays/',
    '/overlay-ts/hosts/a b',
  ]
  assert.deepEqual(
    wrong.filter((key) => keyspace.parse(key) !== null),
    [],
  )
})

test('both subnets of a dual-stack flannel key are read', () => {
  assert.deepEqual(keyspace.parse('/overlay-ts/subnets/10.5.52.0-24&fc00:0:0:1::-64'), {
    kind: 'subnet',
    subnet: parseCidr('10.5.52.0/24'),
    subnet6: parseCidr6('fc00:0:0:1::/64'),
  })
})

test('a lease without IPv6 has the same key whether that is said or not', () => {
  const subnet = parseCidr('10.32.5.0/24')
  assert.equal(keyspace.subnet(subnet, null), keyspace.subnet(subnet))
})

test('a prefix of nothing but slashes is refused', () => {
  assert.throws(() => createKeyspace('//'), { code: 'bad_input' })
})

test('overlay names follow the rule of Docker network names', () => {
  const good = ['web', 'a', '0', 'my_net.v2-x', 'x'.repeat(64)]
  const bad = ['', '-a', '.a', '_a', 'a b', 'a/b', 'ä', 'x'.repeat(65), 'web\n']
  assert.deepEqual(
    [...good, ...bad].filter((each) => isOverlayName(each)),
    good,
  )
  assert.throws(() => parseOverlayName('a/b'), { code: 'bad_input', message: /"a\/b" cannot name/ })
})
