import { ActionIcon } from '@mantine/core'
import { useEffect, useState } from 'react'

import { useI18n } from '../i18n'
import { CheckIcon, CopyIcon } from './icons'

const CONFIRMATION_MS = 1_500

interface Props {
  text: string
  /** What the button says that it copies; the text itself if nothing else. */
  label?: string
}

export function CopyButton({ text, label }: Props) {
  const { t } = useI18n()
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), CONFIRMATION_MS)
    return () => clearTimeout(timer)
  }, [copied])
  const says = copied ? t('copy.done') : (label ?? t('copy.copy', { text }))
  return (
    <ActionIcon
      variant="subtle"
      color={copied ? 'teal' : 'gray'}
      aria-label={says}
      title={says}
      onClick={() => void copy(text).then(setCopied)}
    >
      {copied ? <CheckIcon /> : <CopyIcon />}
    </ActionIcon>
  )
}

/** Whether `text` reached the clipboard. */
async function copy(text: string): Promise<boolean> {
  // Browsers withhold the clipboard API from a page that came over plain HTTP from another machine.
  if (!window.isSecureContext) return copyBySelection(text)
  await navigator.clipboard.writeText(text)
  return true
}

function copyBySelection(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.style.position = 'fixed'
  document.body.append(area)
  area.select()
  const copied = document.execCommand('copy')
  area.remove()
  return copied
}
