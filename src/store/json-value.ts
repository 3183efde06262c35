import { z } from 'zod'
import { messageOf, OverlayError } from '../errors.ts'
import { parseCidr, type Cidr } from '../net/cidr.ts'
import { parseCidr6, type Cidr6 } from '../net/cidr6.ts'
import { parseIp, type Ip } from '../net/ip.ts'
import { parseIpv4, type Ipv4 } from '../net/ipv4.ts'
import { parseIpv6, type Ipv6 } from '../net/ipv6.ts'
import { parseMac, type Mac } from '../net/mac.ts'

/** A schema of text that one of our own parsers reads; its sentence becomes the issue's message. */
function textField<T>(parse: (text: string) => T): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    try {
      return parse(text)
    } catch (error) {
      context.issues.push({ code: 'custom', message: messageOf(error), input: text })
      return z.NEVER
    }
  })
}

export const ipv4Field: z.ZodType<Ipv4, string> = textField(parseIpv4)
export const ipv6Field: z.ZodType<Ipv6, string> = textField(parseIpv6)
export const ipField: z.ZodType<Ip, string> = textField(parseIp)
export const cidrField: z.ZodType<Cidr, string> = textField(parseCidr)
export const cidr6Field: z.ZodType<Cidr6, string> = textField(parseCidr6)
export const macField: z.ZodType<Mac, string> = textField(parseMac)

/** "/Backend/Type: Invalid input: …" for the first thing that is wrong (RFC 6901 pointer). */
export function sentenceOf(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return 'is not what was expected'
  const pointer = issue.path.map(
    (step) => `/${String(step).replace(/~/g, '~0').replace(/\//g, '~1')}`,
  )
  return pointer.length === 0 ? issue.message : `${pointer.join('')}: ${issue.message}`
}

/** The JSON text of a key's value, read by its schema. @throws OverlayError bad_input */
export function decodeJson<T>(schema: z.ZodType<T>, text: string): T {
  const result = schema.safeParse(parseJson(text))
  if (!result.success) throw new OverlayError('bad_input', sentenceOf(result.error))
  return result.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new OverlayError('bad_input', `is not JSON: ${messageOf(error)}`, { cause: error })
  }
}
