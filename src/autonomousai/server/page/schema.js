// What a JSON schema may hold, as far as the page looks before it is sent. Pure.

const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];

/** Words under which a schema holds one schema, a list of them, or some by name. */
const ONE = ["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"];
const LISTS = ["anyOf", "oneOf", "allOf", "prefixItems", "items"];
const NAMED = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];

/** The object that a text is; null where it is no object. */
export function schemaOf(text) {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return null;
  }
}

/** The first value of a `type` in a schema that no schema has, as JSON; null where there is none. */
export function wrongType(schema) {
  const { type = [] } = schema;
  const types = Array.isArray(type) ? type : [type];
  const wrong = types.find((each) => !TYPES.includes(each));
  if (wrong !== undefined) return JSON.stringify(wrong);
  for (const each of within(schema)) {
    const found = wrongType(each);
    if (found !== null) return found;
  }
  return null;
}

function within(schema) {
  const lists = LISTS.map((word) => schema[word]).filter(Array.isArray);
  const named = NAMED.map((word) => asObject(schema[word])).filter(Boolean);
  const all = [...ONE.map((word) => schema[word]), ...lists.flat(), ...named.flatMap(Object.values)];
  return all.map(asObject).filter(Boolean);
}

const asObject = (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? value : null);
