/** Samples a second: what speech models listen with. */
export const RATE = 16_000

const HEADER = 44

/** One channel of samples in -1..1 as a WAV file of 16 bits. */
export function encodeWav(samples: Float32Array, rate: number): Blob {
  const view = new DataView(new ArrayBuffer(HEADER + 2 * samples.length))
  const text = (at: number, word: string) =>
    [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)))
  text(0, 'RIFF')
  view.setUint32(4, HEADER - 8 + 2 * samples.length, true)
  text(8, 'WAVEfmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true) // PCM
  view.setUint16(22, 1, true) // channels
  view.setUint32(24, rate, true)
  view.setUint32(28, 2 * rate, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  text(36, 'data')
  view.setUint32(40, 2 * samples.length, true)
  samples.forEach((sample, index) =>
    view.setInt16(HEADER + 2 * index, Math.round(Math.max(-1, Math.min(1, sample)) * 0x7fff), true),
  )
  return new Blob([view.buffer], { type: 'audio/wav' })
}

/** Any sound that the browser can decode, as a WAV file of one channel at RATE. */
export async function toWav(sound: Blob): Promise<Blob> {
  // Decoding into a context resamples to its rate.
  const context = new OfflineAudioContext(1, 1, RATE)
  const decoded = await context.decodeAudioData(await sound.arrayBuffer())
  const mixed = new Float32Array(decoded.length)
  for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
    decoded.getChannelData(channel).forEach((sample, index) => {
      mixed[index] = (mixed[index] ?? 0) + sample / decoded.numberOfChannels
    })
  }
  return encodeWav(mixed, RATE)
}
