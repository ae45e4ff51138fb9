/** What is painted is seen, and counts by how opaque it is; its colour is nothing but that. */
const COLOR = '#4263eb'

export type Point = [x: number, y: number]

/** Paints, or erases, from one point to another, in pixels of the layer. */
export function stroke(
  layer: HTMLCanvasElement,
  from: Point,
  to: Point,
  width: number,
  erase: boolean,
) {
  const context = contextOf(layer)
  context.globalCompositeOperation = erase ? 'destination-out' : 'source-over'
  // Its edge is soft: to take away what it painted, it has to be a little wider.
  context.lineWidth = erase ? width + 2 : width
  context.lineCap = 'round'
  context.strokeStyle = COLOR
  context.beginPath()
  context.moveTo(...from)
  context.lineTo(...to)
  context.stroke()
}

export function clear(layer: HTMLCanvasElement) {
  contextOf(layer).clearRect(0, 0, layer.width, layer.height)
}

export function isEmpty(layer: HTMLCanvasElement): boolean {
  const { data } = contextOf(layer).getImageData(0, 0, layer.width, layer.height)
  for (let index = 3; index < data.length; index += 4) if (data[index]) return false
  return true
}

/** The layer as OpenAI's API takes a mask: a PNG, transparent where it was painted. */
export function toMask(layer: HTMLCanvasElement): Promise<Blob | null> {
  const mask = document.createElement('canvas')
  mask.width = layer.width
  mask.height = layer.height
  const context = contextOf(mask)
  context.fillRect(0, 0, mask.width, mask.height)
  context.globalCompositeOperation = 'destination-out'
  context.drawImage(layer, 0, 0)
  return new Promise((resolve) => mask.toBlob(resolve, 'image/png'))
}

/**
 * Paints what a mask in a file says, stretched to the layer, in place of what was painted: what is
 * transparent or, in one without transparent parts, what is white. Throws where it is no picture.
 */
export async function paintMask(layer: HTMLCanvasElement, file: Blob) {
  const picture = await createImageBitmap(file)
  const context = contextOf(layer)
  clear(layer)
  context.globalCompositeOperation = 'source-over'
  context.drawImage(picture, 0, 0, layer.width, layer.height)
  picture.close()
  const pixels = context.getImageData(0, 0, layer.width, layer.height)
  const painted = paintedBy(pixels.data)
  context.globalCompositeOperation = 'source-in'
  painted.forEach((alpha, index) => (pixels.data[4 * index + 3] = alpha))
  context.putImageData(pixels, 0, 0)
  context.fillStyle = COLOR
  context.fillRect(0, 0, layer.width, layer.height)
}

/** How far each pixel of a mask, of four bytes, is to be painted: 0 to 255. */
export function paintedBy(pixels: Uint8ClampedArray): Uint8ClampedArray {
  const opaque = alphas(pixels)
  if (opaque.some((alpha) => alpha < 255)) return opaque.map((alpha) => 255 - alpha)
  return opaque.map((_, index) => {
    const [red = 0, green = 0, blue = 0] = pixels.subarray(4 * index)
    return 0.299 * red + 0.587 * green + 0.114 * blue
  })
}

function alphas(pixels: Uint8ClampedArray): Uint8ClampedArray {
  return Uint8ClampedArray.from({ length: pixels.length / 4 }, (_, index) => pixels[4 * index + 3] ?? 0)
}

function contextOf(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext('2d', { willReadFrequently: true })
  if (!context) throw new Error('this browser draws on no canvas')
  return context
}
