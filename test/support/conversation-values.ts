import { randomBytes } from 'node:crypto'
import { parseCidr, parseInterfaceAddress } from '../../src/net/cidr.ts'
import { parseCidr6, parseInterfaceAddress6 } from '../../src/net/cidr6.ts'
import { parseIpv4 } from '../../src/net/ipv4.ts'
import { parseIpv6 } from '../../src/net/ipv6.ts'
import { parseMac } from '../../src/net/mac.ts'

/** What a captured value must look like. */
const KINDS: Readonly<Record<string, (text: string) => unknown>> = {
  text: (text) => text.length > 0 || fail(),
  cidr: parseCidr,
  address: parseInterfaceAddress,
  ip: parseIpv4,
  cidr6: parseCidr6,
  address6: parseInterfaceAddress6,
  ip6: parseIpv6,
  mac: parseMac,
}

/** "<web>", "<web:cidr>", or one of them within a longer text. */
const PLACEHOLDER = /<([a-z][a-z0-9-]*)(?::([a-z0-9]+))?>/g

/**
 * The values that stand for a conversation's placeholders.
 *
 *   in a request   "<pool>"          what an answer gave under that name
 *                  "<address:ip>"    the same without its prefix length
 *                  "<id-web>"        a Docker id, made up when first used
 *   in an answer   "<pool:text>"     any value of that kind; kept under the name, and the same ever after
 *                  "<address:ip>"    without its prefix length what an answer gave with it
 */
export class ConversationValues {
  readonly #values = new Map<string, string>()

  /** Puts values in place of placeholders, in every string of the request. */
  fill(request: unknown): unknown {
    if (typeof request === 'string') {
      return request.replaceAll(PLACEHOLDER, (_, name: string, form?: string) => {
        const value = this.#valueOf(name)
        return form === 'ip' ? value.split('/')[0]! : value
      })
    }
    if (Array.isArray(request)) return request.map((item) => this.fill(item))
    if (!isRecord(request)) return request
    return Object.fromEntries(
      Object.entries(request).map(([key, value]) => [key, this.fill(value)]),
    )
  }

  /**
   * The first difference between an answer and what was expected, as "Interface.Address: wanted …,
   * found …", or null. Expected keys that end in "?" may be missing, others may not; none may be added.
   */
  difference(expected: unknown, found: unknown, path = ''): string | null {
    if (typeof expected === 'string' && typeof found === 'string') {
      return this.#textDifference(expected, found, path)
    }
    if (Array.isArray(expected) && Array.isArray(found) && expected.length === found.length) {
      return first(expected, (item, index) =>
        this.difference(item, found[index], `${path}[${index}]`),
      )
    }
    if (isRecord(expected) && isRecord(found)) return this.#recordDifference(expected, found, path)
    return expected === found ? null : unlike(path, expected, found)
  }

  #recordDifference(
    expected: Record<string, unknown>,
    found: Record<string, unknown>,
    path: string,
  ): string | null {
    const wanted = Object.keys(expected).map((key) => key.replace(/\?$/, ''))
    const added = Object.keys(found).find((key) => !wanted.includes(key))
    if (added !== undefined) return unlike(join(path, added), undefined, found[added])
    return first(Object.entries(expected), ([key, value]) => {
      const name = key.replace(/\?$/, '')
      if (key.endsWith('?') && !(name in found)) return null
      return this.difference(value, found[name], join(path, name))
    })
  }

  #textDifference(expected: string, found: string, path: string): string | null {
    const [, name, kind] = /^<([a-z][a-z0-9-]*):([a-z0-9]+)>$/.exec(expected) ?? []
    if (name === undefined || kind === undefined || this.#values.has(name)) {
      const filled = String(this.fill(expected))
      return filled === found ? null : unlike(path, filled, found)
    }
    const read = KINDS[kind]
    if (read === undefined) throw new Error(`a conversation has no values of kind "${kind}"`)
    try {
      read(found)
    } catch {
      return `${path}: wanted a value of kind ${kind}, found ${JSON.stringify(found)}`
    }
    this.#values.set(name, found)
    return null
  }

  #valueOf(name: string): string {
    const value = this.#values.get(name)
    if (value !== undefined) return value
    if (!name.startsWith('id-')) throw new Error(`no answer gave the value <${name}>`)
    const id = randomBytes(32).toString('hex')
    this.#values.set(name, id)
    return id
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function first<T>(items: readonly T[], look: (item: T, index: number) => string | null) {
  for (const [index, item] of items.entries()) {
    const difference = look(item, index)
    if (difference !== null) return difference
  }
  return null
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`)

function unlike(path: string, expected: unknown, found: unknown): string {
  return `${path || 'the answer'}: wanted ${say(expected)}, found ${say(found)}`
}

const say = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value))

function fail(): never {
  throw new Error('empty')
}
