import { Tabs } from '@mantine/core'

import { address } from '../api/http'
import type { Instance } from '../api/instances'
import { CodeBlock } from '../shell/CodeBlock'
import { exampleOf } from '../snippets/example'
import { LANGUAGES, snippet } from '../snippets/snippet'

/** How a program asks this model. */
export function Snippets({ instance }: { instance: Instance }) {
  const example = exampleOf(instance.model_type, instance.model_uid, instance.model_ability)
  const base = address('v1').href
  return (
    <Tabs defaultValue="curl" variant="pills" keepMounted={false}>
      <Tabs.List>
        {LANGUAGES.map((one) => (
          <Tabs.Tab key={one} value={one} size="xs">
            {one}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {LANGUAGES.map((one) => (
        <Tabs.Panel key={one} value={one}>
          <CodeBlock text={snippet(one, base, example)} label={one} />
        </Tabs.Panel>
      ))}
    </Tabs>
  )
}
