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

export type AddressPoolRecord = z.infer<typeof addressPoolRecord>
