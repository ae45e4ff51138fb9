import { useRef, useState } from 'react'
import type { KeyboardEvent, PointerEvent, RefObject } from 'react'

import { clear, isEmpty, stroke } from './mask'
import type { Point } from './mask'

export interface Brush {
  /** Where it is, as parts of the picture's width and height; null before it was anywhere. */
  at: Point | null
  /** Whether somebody holds it just now. */
  held: boolean
  /** Whether keys moved it there. */
  byKeys: boolean
  release: () => void
  onPointerDown: (event: PointerEvent) => void
  onPointerMove: (event: PointerEvent) => void
  onPointerUp: () => void
  onKeyDown: (event: KeyboardEvent) => void
}

interface Options {
  /** In pixels of the screen. */
  width: number
  erase: boolean
  /** Called when something was painted or erased: whether anything is painted now. */
  onPaint: (painted: boolean) => void
}

const ARROWS: Record<string, Point> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
}
/** How far an arrow key moves it, in its own width. */
const STEP = 0.5

/** Paints on a layer over a picture, with a pointer or with keys. */
export function useBrush(layer: RefObject<HTMLCanvasElement | null>, options: Options): Brush {
  const { width, erase, onPaint } = options
  const [at, setAt] = useState<Point | null>(null)
  const [held, setHeld] = useState(false)
  const [byKeys, setByKeys] = useState(false)
  const last = useRef<Point | null>(null)

  /** Moves it to a point, in pixels of the screen, and paints on the way if it is `down`. */
  function move(to: Point, down: boolean) {
    const canvas = layer.current
    if (!canvas) return
    const box = canvas.getBoundingClientRect()
    const scale = canvas.width / box.width
    const point: Point = [to[0] * scale, to[1] * scale]
    if (down) {
      stroke(canvas, last.current ?? point, point, width * scale, erase)
      if (!erase) onPaint(true)
    }
    last.current = point
    setHeld(true)
    setAt([to[0] / box.width, to[1] / box.height])
  }

  /** Tells whether anything is left, once something may have been erased. */
  function settle() {
    if (erase && layer.current) onPaint(!isEmpty(layer.current))
  }

  function byPointer(event: PointerEvent) {
    const box = event.currentTarget.getBoundingClientRect()
    setByKeys(false)
    move([event.clientX - box.left, event.clientY - box.top], event.buttons !== 0)
  }

  function onKeyDown(event: KeyboardEvent) {
    const canvas = layer.current
    const arrow = ARROWS[event.key]
    if (!canvas || !(arrow || [' ', 'Delete'].includes(event.key))) return
    event.preventDefault() // nothing is to scroll
    if (event.key === 'Delete') {
      clear(canvas)
      onPaint(false)
      return
    }
    const box = canvas.getBoundingClientRect()
    const [x, y] = at ?? [0.5, 0.5]
    const [right, down] = arrow ?? [0, 0]
    const between = (value: number, most: number) => Math.max(0, Math.min(most, value))
    const to: Point = [
      between(x * box.width + right * width * STEP, box.width),
      between(y * box.height + down * width * STEP, box.height),
    ]
    setByKeys(true)
    if (!held) last.current = null
    move(to, !arrow || event.shiftKey)
    settle()
  }

  return {
    at,
    held,
    byKeys,
    release: () => setHeld(false),
    onPointerDown: (event) => {
      last.current = null
      event.currentTarget.setPointerCapture(event.pointerId)
      byPointer(event)
    },
    onPointerMove: byPointer,
    onPointerUp: settle,
    onKeyDown,
  }
}
