import assert from 'node:assert/strict'
import { test } from 'node:test'
import { programExternalConnectivityRequest } from '../../../plugin/network-messages.ts'
import { portWishes } from '../../../plugin/port-wishes.ts'
import type { PortWish } from '../../../src/control/published-ports.ts'

/** The bindings as Docker 20.10 sends them. */
function wishesOf(...bindings: object[]): PortWish[] {
  const Options = { 'com.docker.network.portmap': bindings }
  const request = { NetworkID: 'f0', EndpointID: 'e0', Options }
  return portWishes(
    programExternalConnectivityRequest.parse(request).Options['com.docker.network.portmap'],
  )
}
const binding = { Proto: 6, IP: '', Port: 80, HostIP: '', HostPort: 8080, HostPortEnd: 8080 }

test('a port, a range, any port; at one address or all; tcp, udp and sctp', () => {
  const wish = { protocol: 'tcp', port: 80, hostIp: null, from: 8080, to: 8080 }
  assert.deepEqual(wishesOf(binding), [wish])
  assert.deepEqual(wishesOf({ ...binding, HostIP: '0.0.0.0', HostPortEnd: 8090 }), [
    { ...wish, to: 8090 },
  ])
  assert.deepEqual(wishesOf({ ...binding, Proto: 17, HostPort: 0, HostPortEnd: 0 }), [
    { ...wish, protocol: 'udp', from: 0, to: 0 },
  ])
  assert.deepEqual(wishesOf({ ...binding, Proto: 132, HostIP: '127.0.0.1', HostPortEnd: 0 }), [
    { ...wish, protocol: 'sctp', hostIp: '127.0.0.1' },
  ])
  assert.deepEqual(wishesOf(), [])
})

test('an IPv6 address and another protocol are refused with what can be given', () => {
  assert.throws(() => wishesOf({ ...binding, HostIP: '::1' }), {
    code: 'unsupported',
    message: /^-p \[::1\]:… cannot be published .* give an IPv4 address of this host, or none/,
  })
  assert.throws(() => wishesOf({ ...binding, Proto: 33 }), { code: 'unsupported' })
})
