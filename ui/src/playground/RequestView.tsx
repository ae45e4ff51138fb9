import { Tabs } from '@mantine/core'

import { address } from '../api/http'
import { useI18n } from '../i18n'
import { CodeBlock } from '../shell/CodeBlock'
import disclosure from '../shell/Disclosure.module.css'
import type { ApiRequest } from '../snippets/example'
import { shortened } from '../snippets/shortened'
import { LANGUAGES, snippet } from '../snippets/snippet'

/** The request that a pane sends, as programs would send it. What is copied is whole. */
export function RequestView({ request }: { request: ApiRequest }) {
  const { t } = useI18n()
  const base = address('v1').href
  return (
    <details className={disclosure.disclosure}>
      <summary>{t('request.title', { path: `/v1/${request.path}` })}</summary>
      <Tabs defaultValue="curl" variant="pills" keepMounted={false} mt="xs">
        <Tabs.List>
          {LANGUAGES.map((one) => (
            <Tabs.Tab key={one} value={one} size="xs">
              {one}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {LANGUAGES.map((one) => (
          <Tabs.Panel key={one} value={one}>
            <CodeBlock
              shown={snippet(one, base, { ...request, body: shortened(request.body) })}
              text={snippet(one, base, request)}
              label={one}
            />
          </Tabs.Panel>
        ))}
      </Tabs>
    </details>
  )
}
