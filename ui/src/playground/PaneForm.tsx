import { Button, Group, Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'

import { useI18n } from '../i18n'
import type { ApiRequest } from '../snippets/example'
import { ErrorAlert } from '../shell/ErrorAlert'
import { RequestView } from './RequestView'
import { WorkProgress } from './WorkProgress'

interface Props {
  request: ApiRequest
  submit: string
  /** The name of the request that is under way. */
  running: string | null
  /** Milliseconds that the last one took. */
  took: number | null
  disabled?: boolean
  /** Whether the server tells how far it is. */
  progress?: boolean
  error: Error | null
  onSubmit: () => void
  onStop: () => void
  children: ReactNode
}

/** The inputs of a pane, the request that they make, and the button that sends it. */
export function PaneForm({ request, submit, running, took, progress, error, ...props }: Props) {
  const { t } = useI18n()
  return (
    <Stack
      component="form"
      gap="sm"
      onSubmit={(event) => {
        event.preventDefault()
        if (!running) props.onSubmit()
      }}
    >
      {props.children}
      <RequestView request={request} />
      <Group>
        <Button type="submit" disabled={props.disabled} loading={running !== null}>
          {submit}
        </Button>
        {running && (
          <Button variant="default" onClick={props.onStop}>
            {t('chat.stop')}
          </Button>
        )}
        {!running && !error && took !== null && (
          <Text fz="sm" c="dimmed" role="status">
            {t('pane.took', { seconds: (took / 1000).toFixed(1) })}
          </Text>
        )}
      </Group>
      {running && progress && <WorkProgress key={running} id={running} />}
      <ErrorAlert error={error} />
    </Stack>
  )
}
