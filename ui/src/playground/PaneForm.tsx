import { Button, Group, Stack } from '@mantine/core'
import type { ReactNode } from 'react'

import { useI18n } from '../i18n'
import type { ApiRequest } from '../snippets/example'
import { ErrorAlert } from '../shell/ErrorAlert'
import { RequestView } from './RequestView'

interface Props {
  request: ApiRequest
  submit: string
  running: boolean
  disabled?: boolean
  error: Error | null
  onSubmit: () => void
  onStop: () => void
  children: ReactNode
}

/** The inputs of a pane, the request that they make, and the button that sends it. */
export function PaneForm({ request, submit, running, disabled, error, ...props }: Props) {
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
        <Button type="submit" disabled={disabled} loading={running}>
          {submit}
        </Button>
        {running && (
          <Button variant="default" onClick={props.onStop}>
            {t('chat.stop')}
          </Button>
        )}
      </Group>
      <ErrorAlert error={error} />
    </Stack>
  )
}
