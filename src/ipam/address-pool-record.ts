import { z } from 'zod'

/** An address pool as the journal keeps it: plain JSON, addresses as dotted text. */
export const addressPoolRecord = z.strictObject({
  subnet: z.cidrv4(),
  uses: z.array(
    z.strictObject({
      address: z.ipv4(),
      purpose: z.enum(['endpoint', 'gateway', 'reserved']),
      /** Milliseconds since the epoch. */
      since: z.number(),
    }),
  ),
  /** The addresses released last, the longest free first. */
  freed: z.array(z.ipv4()),
})

/** The same of an IPv6 subnet, addresses in the form of RFC 5952. */
export const addressPool6Record = z.strictObject({
  subnet: z.cidrv6(),
  uses: z.array(
    z.strictObject({
      address: z.ipv6(),
      purpose: z.enum(['endpoint', 'gateway', 'reserved']),
      /** Milliseconds since the epoch. */
      since: z.number(),
    }),
  ),
  /** The addresses released last, the longest free first. */
  freed: z.array(z.ipv6()),
})

export type AddressPool6Record = z.infer<typeof addressPool6Record>
export type AddressPoolRecord = z.infer<typeof addressPoolRecord>
