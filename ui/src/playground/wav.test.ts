import { expect, it } from 'vitest'

import { encodeWav } from './wav'

it('writes a header and samples, cut at full scale', async () => {
  const file = encodeWav(new Float32Array([0, 1, -2]), 16_000)
  const view = new DataView(await file.arrayBuffer())
  const text = (at: number) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)))
  expect([text(0), text(8), text(36)]).toEqual(['RIFF', 'WAVE', 'data'])
  expect(view.byteLength).toBe(50)
  expect(view.getUint32(4, true)).toBe(42)
  expect(view.getUint32(24, true)).toBe(16_000)
  expect([44, 46, 48].map((at) => view.getInt16(at, true))).toEqual([0, 32_767, -32_767])
})
