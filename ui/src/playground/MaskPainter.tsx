import { Button, Group, Slider, Text } from '@mantine/core'
import { useEffect, useImperativeHandle, useRef, useState } from 'react'
import type { PointerEvent, Ref } from 'react'

import { useI18n } from '../i18n'
import classes from './MaskPainter.module.css'
import { useObjectUrl } from './TranscriptionPane'

export interface Mask {
  /** A PNG of the picture's size, transparent where it was painted; null where nothing was. */
  read: () => Promise<Blob | null>
}

interface Props {
  ref: Ref<Mask>
  image: File
  onPaint: (painted: boolean) => void
}

/** Shows a picture, on which one paints what is to be drawn anew. */
export function MaskPainter({ ref, image, onPaint }: Props) {
  const { t } = useI18n()
  const url = useObjectUrl(image)
  const canvas = useRef<HTMLCanvasElement>(null)
  const last = useRef<[number, number] | null>(null)
  const [painted, setPainted] = useState(false)
  const [width, setWidth] = useState(40)

  function mark(value: boolean) {
    setPainted(value)
    onPaint(value)
  }

  function clear() {
    const layer = canvas.current
    layer?.getContext('2d')?.clearRect(0, 0, layer.width, layer.height)
    mark(false)
  }

  useEffect(() => setPainted(false), [image])
  useImperativeHandle(ref, () => ({
    read: () => (painted && canvas.current ? inverted(canvas.current) : Promise.resolve(null)),
  }))

  function paint(event: PointerEvent<HTMLCanvasElement>) {
    const layer = event.currentTarget
    const context = layer.getContext('2d')
    if (!context || event.buttons === 0) return
    const box = layer.getBoundingClientRect()
    const scale = layer.width / box.width
    const point: [number, number] = [
      (event.clientX - box.left) * scale,
      (event.clientY - box.top) * scale,
    ]
    context.lineWidth = width * scale
    context.lineCap = 'round'
    context.strokeStyle = '#000'
    context.beginPath()
    context.moveTo(...(last.current ?? point))
    context.lineTo(...point)
    context.stroke()
    last.current = point
    if (!painted) mark(true)
  }

  if (!url) return null
  return (
    <div>
      <Text fz="sm" mb={4}>
        {t('image.paint')}
      </Text>
      <div className={classes.stage}>
        <img
          src={url}
          alt={image.name}
          className={classes.picture}
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => {
            if (!canvas.current) return
            canvas.current.width = naturalWidth
            canvas.current.height = naturalHeight
          }}
        />
        <canvas
          ref={canvas}
          className={classes.layer}
          role="img"
          aria-label={t('image.mask')}
          onPointerDown={(event) => {
            last.current = null
            event.currentTarget.setPointerCapture(event.pointerId)
            paint(event)
          }}
          onPointerMove={paint}
        />
      </div>
      <Group mt="xs">
        <Slider
          min={4}
          max={120}
          value={width}
          onChange={setWidth}
          thumbLabel={t('image.brush')}
          label={null}
          w={160}
        />
        <Button size="xs" variant="default" disabled={!painted} onClick={clear}>
          {t('image.clear')}
        </Button>
      </Group>
    </div>
  )
}

/** Opaque where the layer is empty, and transparent where it was painted. */
function inverted(layer: HTMLCanvasElement): Promise<Blob | null> {
  const mask = document.createElement('canvas')
  mask.width = layer.width
  mask.height = layer.height
  const context = mask.getContext('2d')
  if (!context) return Promise.resolve(null)
  context.fillRect(0, 0, mask.width, mask.height)
  context.globalCompositeOperation = 'destination-out'
  context.drawImage(layer, 0, 0)
  return new Promise((resolve) => mask.toBlob(resolve, 'image/png'))
}
